// SPDX-License-Identifier: Apache-2.0

//! https with a certificate of one's own, and http refused there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::similar_names,
    reason = "this is a test"
)]

mod support;

use std::fs;

use messaging_manager::config::TlsFiles;
use support::{Client, Fixture};
use tokio::net::TcpStream;

#[tokio::test]
async fn https_is_served_even_while_a_handshake_hangs() {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let fixture = Fixture::with(|config| {
        let folder = config.database.parent().unwrap();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        fs::write(&certificate, &pem).unwrap();
        fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        config.tls = Some(TlsFiles { certificate, key });
    })
    .await;
    assert_eq!(fixture.running.url().scheme(), "https");
    let _hangs = TcpStream::connect(fixture.running.address()).await.unwrap();

    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([certificate])
        .build()
        .unwrap();
    let trusting = Client {
        http,
        ..fixture.client.clone()
    };
    trusting.get("/v1/manager").await.expect(200);

    fixture
        .client
        .call(reqwest::Method::GET, "/v1/manager")
        .try_send()
        .await
        .unwrap_err();
    let plain = format!("http://{}/livez", fixture.running.address());
    fixture.client.http.get(plain).send().await.unwrap_err();
    trusting.get("/v1/manager").await.expect(200);
    fixture.running.stop().await.unwrap();
}
