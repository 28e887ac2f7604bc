// SPDX-License-Identifier: Apache-2.0

//! A snapshot of one account: single objects, pages, the change feed. Everything it returns is of one revision.

use digital_messaging_contract::change::{Change, Page, Tombstone};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Document, document, from_sql, to_sql};

/// What happened since a revision.
#[derive(Debug)]
pub(crate) enum FeedPage {
    /// In order; `more` if the page was too short for all of it.
    Changes { items: Vec<Change>, next: u64, more: bool },
    /// The feed does not reach back that far, or the revision is not one of this account.
    Compacted,
}

/// A consistent view of one account.
pub(crate) struct Snapshot {
    transaction: Transaction<'static, Sqlite>,
    account: String,
}

impl Snapshot {
    pub(super) fn new(transaction: Transaction<'static, Sqlite>, account: &str) -> Self {
        Self {
            transaction,
            account: account.to_owned(),
        }
    }

    pub(crate) async fn get<D: Document>(&mut self, id: &str) -> Result<Option<D>, sqlx::Error> {
        get(&mut self.transaction, &self.account, id).await
    }

    /// The secrets of a connection.
    pub(crate) async fn secrets(&mut self, connection_id: &str) -> Result<Option<super::ConnectionSecrets>, sqlx::Error> {
        super::secrets::get(&mut self.transaction, &self.account, connection_id).await
    }

    /// One page in order of ID, after the given one.
    pub(crate) async fn list<D: Document>(
        &mut self,
        after: &str,
        limit: u32,
        external_reference: Option<&str>,
    ) -> Result<(Page<D>, Option<String>), sqlx::Error> {
        let (revision, _) = self.revisions().await?;
        // One more than asked for tells whether there is a next page.
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM objects WHERE account = ?1 AND resource = ?2 AND id > ?3 \
             AND (?4 IS NULL OR external_reference = ?4) ORDER BY id LIMIT ?5",
        )
        .bind(&self.account)
        .bind(document::name(D::RESOURCE))
        .bind(after)
        .bind(external_reference)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut items = rows
            .iter()
            .map(|row| document::decode::<D>(row))
            .collect::<Result<Vec<_>, _>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = has_more.then(|| items.last().map(|item| item.id().to_owned())).flatten();
        Ok((
            Page {
                items,
                next_cursor: None,
                revision,
            },
            last,
        ))
    }

    /// One page of the change feed.
    pub(crate) async fn changes(&mut self, since: u64, limit: u32) -> Result<FeedPage, sqlx::Error> {
        let (revision, compacted) = self.revisions().await?;
        if since < compacted || since > revision {
            return Ok(FeedPage::Compacted);
        }
        if since == revision {
            return Ok(FeedPage::Changes {
                items: Vec::new(),
                next: revision,
                more: false,
            });
        }
        let rows = sqlx::query(
            "SELECT revision, resource, id, document FROM objects WHERE account = ?1 AND revision > ?2 \
             UNION ALL \
             SELECT revision, resource, id, NULL FROM tombstones WHERE account = ?1 AND revision > ?2 \
             ORDER BY revision LIMIT ?3",
        )
        .bind(&self.account)
        .bind(to_sql(since))
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *self.transaction)
        .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        let page = rows.get(..limit).unwrap_or(&rows);
        let items = page.iter().map(change).collect::<Result<Vec<_>, _>>()?;
        let next = match page.last() {
            Some(last) if more => from_sql(last.try_get("revision")?),
            _ => revision,
        };
        Ok(FeedPage::Changes { items, next, more })
    }

    /// The revision of the account, and the one below which the feed is compacted.
    pub(crate) async fn revisions(&mut self) -> Result<(u64, u64), sqlx::Error> {
        let (revision, compacted): (i64, i64) = sqlx::query_as("SELECT revision, compacted FROM accounts WHERE manager_id = ?1")
            .bind(&self.account)
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok((from_sql(revision), from_sql(compacted)))
    }
}

/// One object by ID.
pub(super) async fn get<D: Document>(
    transaction: &mut Transaction<'static, Sqlite>,
    account: &str,
    id: &str,
) -> Result<Option<D>, sqlx::Error> {
    let row: Option<String> = sqlx::query_scalar("SELECT document FROM objects WHERE account = ?1 AND resource = ?2 AND id = ?3")
        .bind(account)
        .bind(document::name(D::RESOURCE))
        .bind(id)
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_deref().map(document::decode).transpose()
}

fn change(row: &SqliteRow) -> Result<Change, sqlx::Error> {
    let resource = document::resource(row.try_get("resource")?);
    match row.try_get::<Option<&str>, _>("document")? {
        None => Ok(Change::Deleted(Tombstone {
            resource,
            id: row.try_get("id")?,
            revision: from_sql(row.try_get("revision")?),
        })),
        Some(json) => match resource {
            digital_messaging_contract::change::Resource::Interface => {
                document::decode::<digital_messaging_contract::interface::Interface>(json).map(Document::into_change)
            }
            digital_messaging_contract::change::Resource::Connection => {
                document::decode::<digital_messaging_contract::connection::Connection>(json).map(Document::into_change)
            }
        },
    }
}
