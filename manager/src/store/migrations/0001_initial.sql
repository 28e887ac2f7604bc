-- One row a Manager ID. `revision` counts the writes of the account; `compacted` is the highest revision whose
-- tombstone is gone, so the change feed serves nothing older.
CREATE TABLE accounts (
    manager_id TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    method     TEXT NOT NULL CHECK (method IN ('JWT', 'APIKey')),
    revision   INTEGER NOT NULL DEFAULT 0,
    compacted  INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL
) STRICT;

-- HS256 needs the key itself, so it is stored as it is; the file's mode is 0600.
-- `valid_until` is in seconds since the epoch and NULL for the current key.
CREATE TABLE manager_keys (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    manager_id  TEXT NOT NULL REFERENCES accounts (manager_id),
    manager_key TEXT NOT NULL,
    valid_until INTEGER,
    revoked     INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX manager_keys_by_account ON manager_keys (manager_id, sequence);

-- Interfaces and connections: the wire document, and beside it what is searched or must be unique.
CREATE TABLE objects (
    account            TEXT NOT NULL REFERENCES accounts (manager_id),
    resource           TEXT NOT NULL CHECK (resource IN ('interface', 'connection')),
    id                 TEXT NOT NULL,
    interface_id       TEXT,
    external_reference TEXT,
    natural_key        TEXT,
    revision           INTEGER NOT NULL,
    document           TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX objects_by_id ON objects (account, resource, id);
CREATE UNIQUE INDEX objects_by_reference ON objects (account, external_reference) WHERE external_reference IS NOT NULL;
CREATE UNIQUE INDEX objects_by_natural_key ON objects (account, natural_key) WHERE natural_key IS NOT NULL;
CREATE UNIQUE INDEX objects_by_revision ON objects (account, revision);
CREATE INDEX objects_by_interface ON objects (account, interface_id) WHERE interface_id IS NOT NULL;

-- Apart from the documents, so that no list can leak what it does not read.
CREATE TABLE connection_secrets (
    account              TEXT NOT NULL,
    connection_id        TEXT NOT NULL,
    inputs               TEXT NOT NULL,
    jwt_secret           TEXT,
    previous_jwt_secret  TEXT,
    previous_valid_until TEXT,
    PRIMARY KEY (account, connection_id)
) STRICT, WITHOUT ROWID;

-- Which connections offer a switch to which.
CREATE TABLE switches (
    account   TEXT NOT NULL,
    target_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    PRIMARY KEY (account, target_id, source_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX switches_by_source ON switches (account, source_id);

CREATE TABLE tombstones (
    account    TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    resource   TEXT NOT NULL,
    id         TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (account, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_age ON tombstones (account, deleted_at);

-- The highest epoch of each operator installation.
CREATE TABLE epochs (
    account      TEXT NOT NULL,
    installation TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    PRIMARY KEY (account, installation)
) STRICT, WITHOUT ROWID;

-- Who wrote what when: the newest writes of each account.
CREATE TABLE write_records (
    account      TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    installation TEXT,
    epoch        INTEGER,
    method       TEXT NOT NULL,
    resource     TEXT NOT NULL,
    id           TEXT NOT NULL,
    written_at   TEXT NOT NULL,
    PRIMARY KEY (account, revision)
) STRICT, WITHOUT ROWID;

-- Tokens that made a write. The memory of all used tokens is in the process; these survive it,
-- in the same transaction as the write, so that no write can be replayed after a restart.
CREATE TABLE used_tokens (
    digest     BLOB PRIMARY KEY,
    account    TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);
