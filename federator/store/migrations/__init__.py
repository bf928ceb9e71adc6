"""How the schema came to be, one step a file in ``versions/``, run by alembic. docs/store.md says how to add one."""
