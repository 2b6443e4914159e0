"""The site of docs/how-to/tenants.md, with django-tenants on PostgreSQL."""
