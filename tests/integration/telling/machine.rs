// SPDX-License-Identifier: Apache-2.0

//! What the process takes of its machine, as Prometheus has it of any process.

use jiff::Timestamp;

use super::start;
use crate::scene::{DEADLINE, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_tells_what_it_takes_of_its_machine() {
    let before = Timestamp::now().as_second();
    let mut scene = Scene::new().await;
    let operator = start(&mut scene, &[]).await;
    let (first, after) = (operator.metrics().await.unwrap(), Timestamp::now().as_second());
    scene.ready_interface().await;
    let second = operator.metrics().await.unwrap();
    let value = |text: &str, name: &str| -> f64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    };
    let of = |name: &str| value(&second, name);

    let (resident, address_space) = (of("process_resident_memory_bytes"), of("process_virtual_memory_bytes"));
    // Of megabytes, so that pages are not taken for bytes.
    assert!(
        (1e6..2e9).contains(&resident) && resident < address_space,
        "{resident} of {address_space}"
    );
    let (open, most) = (of("process_open_fds"), of("process_max_fds"));
    assert!(open > 5.0 && open < most, "{open} of {most}");
    let (then, now) = (value(&first, "process_cpu_seconds_total"), of("process_cpu_seconds_total"));
    assert!(then > 0.0 && then <= now && now < 600.0, "{then} s, later {now} s");
    let started = of("process_start_time_seconds");
    assert!((value(&first, "process_start_time_seconds") - started).abs() < f64::EPSILON);
    // Linux tells when it was started in whole seconds.
    let (earliest, latest) = (before - 2, after + 2);
    assert!(
        started >= f64::from(i32::try_from(earliest).unwrap()) && started <= f64::from(i32::try_from(latest).unwrap()),
        "{started} is not between {earliest} and {latest}"
    );
    operator.process().terminate(DEADLINE).await.unwrap();
    scene.finish().await;
}
