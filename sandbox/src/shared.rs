// SPDX-License-Identifier: Apache-2.0

//! One control plane for all tests of a process.

use tokio::sync::OnceCell;

use crate::control_plane::ControlPlane;

/// The control plane that all tests of this process share: the one `sandbox exec` provides, or one that this process
/// starts on first use and that ends with it.
///
/// It holds nothing that is bound to the runtime of the test that came first.
///
/// # Panics
/// When no control plane starts: no test can say anything then.
pub async fn shared() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    #[expect(clippy::panic, reason = "called by tests only, each of which would have to unwrap")]
    SHARED
        .get_or_init(async || match ControlPlane::shared_or_own().await {
            Ok(control_plane) => control_plane,
            Err(error) => panic!("no control plane: {error:#}"),
        })
        .await
}
