"""Benchmarks: compare the engine with other engines that store sessions in a database."""
