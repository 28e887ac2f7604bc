// SPDX-License-Identifier: Apache-2.0

//! The worked example of `docs/manager-contract.md` is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::{fs, path::Path};

use digital_messaging_contract::signing::{Request, VerifyError, verify};
use jiff::Timestamp;

/// The value of a variable of the recipe, e.g. of `method=POST   # a comment`.
fn variable(page: &str, name: &str) -> String {
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("the recipe sets no {name}"));
    match value.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => value.split_whitespace().next(),
    }
    .unwrap_or_default()
    .to_owned()
}

#[test]
fn the_token_is_good_for_the_request_of_the_recipe_and_for_no_other() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manager-contract.md")).unwrap();
    let set = |name: &str| variable(&page, name);
    let origin = set("origin");
    let url = set("url").replace("$origin", &origin);
    let (method, body, key) = (set("method"), set("body"), set("manager_key").as_str().into());
    let now = Timestamp::from_second(set("now").parse().unwrap()).unwrap();
    let token = page
        .lines()
        .find_map(|line| line.strip_prefix("Authorization: Bearer "))
        .unwrap_or_else(|| panic!("the page shows no token"));
    let request = Request {
        method: &method,
        url: &url,
        audience: &origin,
        body: body.as_bytes(),
    };
    let claims = verify(token, &key, &request, now).unwrap();
    assert_eq!((claims.iss, claims.jti), (set("manager_id"), set("jti")));
    assert!(page.contains(&claims.body_sha256), "the page shows the digest");

    let other = Request { body: b"{}", ..request };
    assert!(matches!(verify(token, &key, &other, now), Err(VerifyError::Mismatch(_))));
}
