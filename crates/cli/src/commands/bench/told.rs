//! What every report tells: names and values, the load, the machine.

use std::io::{self, Write};

use pacioli_bench::Parameters;
use pacioli_bench::machine::Machine;

use crate::output::grouped;

/// A name and a value.
pub(super) type Row = (&'static str, String);

/// Prints names and values, a line each.
pub(super) fn named(out: &mut impl Write, rows: Vec<Row>) -> io::Result<()> {
    rows.into_iter().try_for_each(|(name, value)| writeln!(out, "{name:<18} {value}"))
}

/// What was measured, under which load, on which machine.
pub(super) fn circumstances_of(parameters: &Parameters, machine: &Machine) -> Vec<Row> {
    let Parameters { target, transport, writers, in_flight, batch, streams, payload_bytes, connections, .. } =
        parameters;
    vec![
        ("measured", format!("{} of {target}, {transport}", parameters.workload)),
        (
            "load",
            format!(
                "{writers} writers, {in_flight} in flight each, {batch} events an append, {} streams, {payload_bytes} bytes, \
                 {connections} connections",
                grouped(*streams)
            ),
        ),
        (
            "machine",
            format!(
                "{} cores, {}, kernel {}, {} fdatasync/s",
                machine.cores,
                machine.cpu,
                machine.kernel,
                grouped(machine.fdatasync_per_second as u64)
            ),
        ),
    ]
}

/// Prints the same.
pub(super) fn circumstances(out: &mut impl Write, parameters: &Parameters, machine: &Machine) -> io::Result<()> {
    named(out, circumstances_of(parameters, machine))
}
