"""How fast the engine is beside the other engines that keep sessions in a database."""
