// SPDX-License-Identifier: Apache-2.0

//! Answers that list things, whoever wrote them: bounded, and still raw, one by one. A single item that this version does
//! not understand must not hide all others.

use std::fmt;

use digital_messaging_contract::change::MAX_PAGE;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::manager::{
    error::{Class, Error, Outage},
    transport::MAX_OBJECT,
};

/// `contract::change::Page`, its items still raw.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) items: Items,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
    pub(super) revision: u64,
}

/// `contract::change::Changes`, its items still raw.
#[derive(Deserialize)]
pub(super) struct Changes {
    pub(super) items: Items,
    pub(super) next: u64,
    #[serde(default)]
    pub(super) more: bool,
}

/// At most as many items as a page may have. Kept as text: a tree of many small values takes thirty times its room.
pub(super) struct Items(Vec<Box<RawValue>>);

impl Items {
    /// Length of the text of all items, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|item| item.get().len()).sum()
    }

    /// The items, each read by itself.
    pub(super) fn read<T: DeserializeOwned>(self) -> impl Iterator<Item = Result<T, Error>> {
        self.0.into_iter().map(|item| {
            let raw = item.get();
            if raw.len() > MAX_OBJECT {
                return Err(unusable("it is larger than 1 MiB"));
            }
            serde_json::from_str(raw).map_err(|error| unusable(&error.to_string()))
        })
    }
}

fn unusable(why: &str) -> Error {
    Error::new(Class::Unavailable(Outage::UnexpectedResponse), why)
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_PAGE} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
                let most = usize::try_from(MAX_PAGE).unwrap_or(usize::MAX);
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() >= most {
                        return Err(A::Error::invalid_length(items.len(), &self));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }

        deserializer.deserialize_seq(Read)
    }
}

/// Items that were passed over: told once, however many there are.
#[derive(Default)]
pub(super) struct Skipped {
    count: usize,
    first: Option<Error>,
}

impl Skipped {
    pub(super) fn add(&mut self, error: Error) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert(error);
    }

    /// Writes about them to the log, if there are any.
    pub(super) fn tell(&self, path: &str) {
        if let Some(first) = &self.first {
            tracing::warn!(
                path,
                skipped = self.count,
                error = %first,
                "the manager lists what this version does not understand; passed over, the error is that of the first"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_no_more_items_than_were_asked_for() {
        let page = |count: u32| json!({ "items": vec![0; count.try_into().unwrap()], "revision": 1 }).to_string();
        assert!(serde_json::from_str::<Page>(&page(MAX_PAGE)).is_ok());
        assert!(serde_json::from_str::<Page>(&page(MAX_PAGE + 1)).is_err());
    }

    #[test]
    fn an_item_that_cannot_be_read_does_not_hide_the_others() {
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        let large = format!("\"{}\"", "x".repeat(MAX_OBJECT));
        // Nothing is built of an item before it is read by itself.
        let text = format!(r#"{{"items":[1,"two",{large},{deep},4],"revision":1}}"#);
        let page: Page = serde_json::from_str(&text).unwrap();
        let read: Vec<Option<u32>> = page.items.read::<u32>().map(Result::ok).collect();
        assert_eq!(read, [Some(1), None, None, None, Some(4)]);
    }

    #[test]
    fn what_is_wrong_with_an_item_is_one_line() {
        #[derive(Debug, Deserialize)]
        enum Word {
            Known,
        }
        let page: Page = serde_json::from_str(r#"{"items":["x\nERROR forged\u001b[31m"],"revision":1}"#).unwrap();
        let error = page
            .items
            .read::<Word>()
            .next()
            .unwrap()
            .map(|word| matches!(word, Word::Known))
            .unwrap_err();
        assert!(!error.message.contains(char::is_control), "{error}");
    }
}
