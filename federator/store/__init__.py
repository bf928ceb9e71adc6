"""What outlives the daemon: SQL through SQLAlchemy, SQLite by default and PostgreSQL by URL."""

from federator.store.copies import BackupUnusable, backup, restore
from federator.store.sql_store import SqlStore, upgrade

__all__ = ["BackupUnusable", "SqlStore", "backup", "restore", "upgrade"]
