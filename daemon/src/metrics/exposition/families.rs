//! Figures as they are written, a family after the other.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::health::{Counts, LATENCIES};

pub(super) type Label<'a> = (&'static str, &'a str);
pub(super) type Labels<'a> = [Label<'a>; 2];

/// Writes them.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        rows: impl IntoIterator<Item = ([Label<'l>; N], f64)>,
    ) -> fmt::Result {
        let gauge = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Of microseconds; 0 has no row.
    pub(super) fn times<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        let known = rows.into_iter().filter(|(_, usec)| *usec > 0);
        let seconds = known.map(|(labels, usec)| (labels, usec as f64 / 1e6));
        self.gauge(name, help, Some(Unit::Seconds), seconds)
    }

    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        rows: impl IntoIterator<Item = ([Label<'l>; N], f64)>,
    ) -> fmt::Result {
        let counter = MetricType::Counter;
        let mut family = self
            .0
            .encode_descriptor(name, help, unit.as_ref(), counter)?;
        for (labels, value) in rows {
            let mut row = family.encode_family(&labels)?;
            row.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn histogram<'l, 'c>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l>, &'c Counts)>,
    ) -> fmt::Result {
        let (unit, histogram) = (Unit::Seconds, MetricType::Histogram);
        let mut family = self
            .0
            .encode_descriptor(name, help, Some(&unit), histogram)?;
        let bounds = LATENCIES.iter().map(|millis| f64::from(*millis) / 1e3);
        let bounds: Vec<f64> = bounds.chain([f64::INFINITY]).collect();
        for (labels, counts) in rows {
            let within = counts.passed_within.iter().map(|count| u64::from(*count));
            let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(within.clone()).collect();
            let sum = counts.passed_in.as_secs_f64();
            let mut row = family.encode_family(&labels)?;
            row.encode_histogram::<NoLabelSet>(sum, within.sum(), &buckets, None)?;
        }
        Ok(())
    }
}
