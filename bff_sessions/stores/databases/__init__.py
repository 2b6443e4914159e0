"""What all parts need that write to a database, with Django's ORM or without.

- `retrying`: repeats what a transient error has interrupted
- `errors`: which errors are transient, and what their texts may say
- `outages`: reports lost connections as other stores do
- `atomic`: views without a transaction
- `scopes`: the places that one database alias stands for
"""
