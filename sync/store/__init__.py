"""The only door to the database: tables, migrations and every query. Open it with `sync.store.engine.open_store`."""
