// SPDX-License-Identifier: Apache-2.0

//! What the process itself takes of its machine, under the names that Prometheus has for this of any process.
//!
//! Read from `/proc` whenever metrics are read: a few small files, however much the operator has to do. What cannot be read
//! is absent, and all of it where there is no `/proc`.

use std::{fmt::Error, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::metrics::{Description, MetricKind};

pub(super) const PROCESSOR: Description = Description {
    name: "process_cpu_seconds",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Processor time that the process has taken, its own and that of the kernel for it",
};
pub(super) const RESIDENT: Description = Description {
    name: "process_resident_memory_bytes",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Memory of the process that is in RAM",
};
pub(super) const VIRTUAL: Description = Description {
    name: "process_virtual_memory_bytes",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Address space of the process, most of which needs no RAM",
};
pub(super) const OPEN_FILES: Description = Description {
    name: "process_open_fds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Open file descriptors, connections among them",
};
pub(super) const MOST_OPEN_FILES: Description = Description {
    name: "process_max_fds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "File descriptors that may be open at the same time; `+Inf` without a limit",
};
pub(super) const STARTED: Description = Description {
    name: "process_start_time_seconds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "When the process started, in seconds since 1970",
};

/// Tells of this process.
#[derive(Debug)]
pub(super) struct Process {
    /// Since 1970. Does not change, and the file that it is in grows with the machine.
    started: Option<Duration>,
}

/// What is read each time.
#[derive(Debug, Default)]
struct Reading {
    processor: Option<Duration>,
    /// In bytes.
    resident: Option<u64>,
    /// In bytes.
    address_space: Option<u64>,
    open_files: Option<usize>,
    most_open_files: Option<f64>,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { started: started() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let reading = read();
        if let Some(processor) = reading.processor {
            PROCESSOR.encode(&mut encoder, &ConstCounter::new(processor.as_secs_f64()))?;
        }
        if let Some(resident) = reading.resident {
            RESIDENT.encode(&mut encoder, &ConstGauge::new(resident))?;
        }
        if let Some(address_space) = reading.address_space {
            VIRTUAL.encode(&mut encoder, &ConstGauge::new(address_space))?;
        }
        if let Some(open_files) = reading.open_files {
            OPEN_FILES.encode(&mut encoder, &ConstGauge::new(open_files))?;
        }
        if let Some(most_open_files) = reading.most_open_files {
            MOST_OPEN_FILES.encode(&mut encoder, &ConstGauge::new(most_open_files))?;
        }
        if let Some(started) = self.started {
            STARTED.encode(&mut encoder, &ConstGauge::new(started.as_secs_f64()))?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn read() -> Reading {
    use procfs::process::{LimitValue, Process};

    let Ok(own) = Process::myself() else {
        return Reading::default();
    };
    let stat = own.stat().ok();
    let number = |limit: LimitValue| match limit {
        LimitValue::Unlimited => f64::INFINITY,
        // Linux counts them in 32 bits.
        LimitValue::Value(most) => u32::try_from(most).map_or(f64::INFINITY, f64::from),
    };
    Reading {
        processor: stat.as_ref().map(|stat| ticks(stat.utime.saturating_add(stat.stime))),
        resident: stat.as_ref().map(|stat| stat.rss.saturating_mul(procfs::page_size())),
        address_space: stat.map(|stat| stat.vsize),
        open_files: own.fd_count().ok(),
        most_open_files: own.limits().ok().map(|limits| number(limits.max_open_files.soft_limit)),
    }
}

#[cfg(target_os = "linux")]
fn started() -> Option<Duration> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    let booted = procfs::boot_time_secs().ok()?;
    Some(Duration::from_secs(booted).saturating_add(ticks(stat.starttime)))
}

#[cfg(target_os = "linux")]
fn ticks(count: u64) -> Duration {
    let in_a_second = procfs::ticks_per_second().max(1);
    let rest = (count % in_a_second).saturating_mul(1_000_000) / in_a_second;
    Duration::from_secs(count / in_a_second).saturating_add(Duration::from_micros(rest))
}

#[cfg(not(target_os = "linux"))]
fn read() -> Reading {
    Reading::default()
}

#[cfg(not(target_os = "linux"))]
fn started() -> Option<Duration> {
    None
}
