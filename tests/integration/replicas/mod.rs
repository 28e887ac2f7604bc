// SPDX-License-Identifier: Apache-2.0

//! Two operator processes that share the work: whatever happens to one of them, only one writes at a time, and no change
//! is lost or made twice.
//!
//! Each process reaches the API server and managers by a [`Link`] of its own, which a test can cut. Meanwhile [`load`]
//! changes specs all the time, and in the end [`writers`] looks at who wrote when.

mod busy_client;
mod control_plane;
mod graceful;
mod killed;
mod lease;
mod load;
mod partition;
mod stale_mirror;
mod standby;
mod superseded;
mod suspended;
mod writers;

use std::time::Duration;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use sandbox::{AuditMark, ControlPlane, Credential, Link, ManagerAccount, Operator, wait_for};

use crate::scene::{DEADLINE, Scene, connection, interface, manager_credential, manager_secret, web};
use load::Load;

/// Where managers are, by the [`Link`] of each process: it is their proxy, and leads there whatever they ask for.
const ENDPOINT: &str = "http://manager.invalid";
const CONNECTIONS: [&str; 4] = ["c-0", "c-1", "c-2", "c-3"];

/// Leases as short as a busy machine allows.
const QUICK: &[&str] = &[
    "--lease-duration",
    "12s",
    "--lease-renew-deadline",
    "9s",
    "--lease-retry-period",
    "1s",
];
/// How long a lease by [`QUICK`] lasts.
const QUICK_LEASE: Duration = Duration::from_secs(12);
/// What operators run with unless told otherwise.
const DEFAULT: &[&str] = &[];

/// One operator process and its ways to the world.
struct Replica {
    name: &'static str,
    operator: Operator,
    kubernetes: Link,
    managers: Link,
}

impl Replica {
    async fn start(name: &'static str, scene: &Scene, timing: &[&str]) -> Self {
        let control_plane = scene.control_plane();
        let api_server = control_plane.url().trim_start_matches("https://").parse().unwrap();
        let kubernetes = Link::to(api_server).await.unwrap();
        let managers = Link::to(scene.manager.address()).await.unwrap();
        let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
        let kubeconfig = kubernetes.kubeconfig(&kubeconfig).unwrap();
        let proxy = format!("http://{}", managers.address());
        let environment = [
            ("HTTP_PROXY", proxy.as_str()),
            ("http_proxy", &proxy),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ];
        let mut arguments = vec!["--namespaces", &scene.namespace, "--namespace", &scene.namespace];
        arguments.extend(["--identity", name]);
        arguments.extend(timing);
        let operator = Operator::start_with(control_plane.run(), &kubeconfig, arguments, &environment).unwrap();
        operator.wait_until_ready().await.unwrap();
        Self {
            name,
            operator,
            kubernetes,
            managers,
        }
    }

    async fn leads(&self) -> bool {
        let metrics = self.operator.metrics().await;
        metrics.is_ok_and(|metrics| metrics.contains("leader_election_master_status 1"))
    }

    async fn wait_until_it_leads(&self) {
        let leading = wait_for(format!("{} leads", self.name), DEADLINE, async || {
            if self.leads().await { Ok(()) } else { Err("it does not") }
        });
        leading
            .await
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.operator.process().log_tail()));
    }

    /// Waits until the process ends because it lost the lease, and fails if that is not among the last that it says.
    async fn loses_the_lease(&self, why: &str) {
        let process = self.operator.process();
        let status = process.wait(DEADLINE).await.unwrap();
        assert!(
            !status.success(),
            "{status}: nothing would start it again\n{}",
            process.log_tail()
        );
        let log = process.log().unwrap();
        // What other tasks had under way may come after it.
        let says_so = |line: &str| line.contains("lost leadership") && line.contains(why) && line.contains("ERROR");
        assert!(log.lines().rev().take(5).any(says_so), "{}", process.log_tail());
    }

    /// Starts the process again, as a kubelet would.
    async fn restart(&self) {
        self.operator.process().restart().unwrap();
        self.operator.wait_until_ready().await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.operator.process().log_tail());
        }
    }
}

/// A scene in which two processes share the work: `first` leads, `second` stands by.
struct Pair {
    scene: Scene,
    first: Replica,
    second: Replica,
    credential: Credential,
    since: AuditMark,
}

impl Pair {
    /// Two processes with nothing to do.
    async fn idle(control_plane: &'static ControlPlane, timing: &[&str]) -> Self {
        let mut scene = Scene::on(
            control_plane,
            |manager| manager.public_url = Some(ENDPOINT.parse().unwrap()),
            |_| {},
        )
        .await;
        scene.stop_operator().await;
        let since = scene.audit_mark();
        let first = Replica::start("first", &scene, timing).await;
        first.wait_until_it_leads().await;
        let second = Replica::start("second", &scene, timing).await;
        let credential = scene.provision(AuthenticationMethod::ApiKey).await;
        Self {
            scene,
            first,
            second,
            credential,
            since,
        }
    }

    /// Two processes that take care of a few connections.
    async fn start(timing: &[&str]) -> Self {
        Self::start_on(sandbox::shared().await, timing).await
    }

    async fn start_on(control_plane: &'static ControlPlane, timing: &[&str]) -> Self {
        let pair = Self::idle(control_plane, timing).await;
        let mut objects = vec![
            manager_secret("acme", &pair.credential),
            manager_credential("acme", ENDPOINT, AuthenticationMethod::ApiKey),
            interface("support", "acme"),
        ];
        objects.extend(CONNECTIONS.map(|name| connection(name, "support", &web())));
        pair.scene.apply_all(objects).await;
        pair.scene.ready::<DigitalMessagingInterface>("support").await;
        for name in CONNECTIONS {
            pair.scene.ready::<ChannelConnection>(name).await;
        }
        pair.assert_the_first_leads().await;
        pair
    }

    /// Before anything is done to it. A machine that is too busy for the lease would make each test fail elsewhere.
    async fn assert_the_first_leads(&self) {
        assert!(
            self.first.leads().await && !self.second.leads().await,
            "it has lost the lease already"
        );
    }

    /// The account as its owner sees it at the manager, past all links.
    fn account(&self) -> ManagerAccount {
        let url = format!("http://{}", self.scene.manager.address());
        ManagerAccount::new(&url, self.credential.clone()).unwrap()
    }

    async fn lease(&self) -> LeaseSpec {
        self.leases().get("digital-messaging-operator").await.unwrap().spec.unwrap()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.scene.client.clone(), &self.scene.namespace)
    }

    /// When the present leader's term began, by its clock, which is this machine's.
    async fn term_began(&self) -> Timestamp {
        self.lease().await.acquire_time.unwrap().0
    }

    /// Waits until `count` more writes have come to the manager and were taken.
    async fn writes_go_on(&self, count: usize) {
        let before = self.writes_taken();
        self.scene
            .eventually("changes reach the manager", async || {
                let more = self.writes_taken() - before;
                if more >= count {
                    Ok(())
                } else {
                    Err(format!("{more} so far"))
                }
            })
            .await;
    }

    fn writes_taken(&self) -> usize {
        let taken = |status| (200..300).contains(&status);
        self.scene
            .journal
            .count(|call| call.is_write() && call.status.is_some_and(taken))
    }

    /// Ends the load, and fails unless everything is as declared in the end, nothing was made twice, and exactly these
    /// processes wrote one after the other.
    async fn finish(self, load: Load, authors: &[&str]) {
        let changes = load.stop().await;
        for name in CONNECTIONS {
            self.scene.ready::<ChannelConnection>(name).await;
        }
        writers::assert_one_at_a_time(&self, authors);
        writers::assert_epochs_only_grow(&self, authors.len()).await;
        writers::assert_nothing_is_lost_or_made_twice(&self, &changes).await;
        self.end().await;
    }

    async fn end(self) {
        for replica in [&self.second, &self.first] {
            let process = replica.operator.process();
            if process.exit_status().is_none() {
                let status = process.terminate(DEADLINE).await.unwrap();
                assert!(status.success(), "{status}\n{}", process.log_tail());
            }
        }
        self.scene.finish().await;
    }
}
