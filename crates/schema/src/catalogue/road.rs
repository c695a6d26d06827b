//! What leads data from one version of a type to a newer one: step by step, by each schema on the way.

use pacioli_core::Payload;
use pacioli_core::schemas::SchemaFormat;

use crate::format::Schema;
use crate::upcast::{Chain, Upcaster};

/// A way through versions, ready to be gone. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    /// All upcasters on the way, for JSON.
    chain: Chain,
    /// The schemas on the way; `None` where all are of JSON, or where one of them does not compile: then only JSON can be
    /// lifted.
    steps: Option<std::sync::Arc<Steps>>,
    /// Whether JSON becomes JSON of the end by the upcasters alone.
    is_json_by_chain: bool,
}

#[derive(Debug)]
struct Steps {
    from: Schema,
    /// What leads to each schema; nothing where the schema is compatible with the one before.
    to: Vec<(Chain, Schema)>,
}

impl Road {
    /// Through versions that all describe JSON, whose schemas need not be known.
    pub(crate) fn of_json<'a>(upcasters: impl IntoIterator<Item = &'a Upcaster>) -> Road {
        Road { chain: Chain::new(upcasters), steps: None, is_json_by_chain: true }
    }

    /// From a schema by steps, each of what lifts to a schema (nothing where it is compatible) and the schema.
    pub(crate) fn new<'a>(
        from: Option<&Schema>,
        steps: impl IntoIterator<Item = (Option<&'a Upcaster>, Option<&'a Schema>)>,
    ) -> Road {
        let steps: Vec<_> = steps.into_iter().collect();
        let chain = Chain::new(steps.iter().filter_map(|(upcaster, _)| *upcaster));
        let to = steps.into_iter().map(|(upcaster, schema)| Some((Chain::new(upcaster), schema?.clone())));
        let to = to.collect::<Option<Vec<_>>>();
        let steps = from.cloned().zip(to).map(|(from, to)| Steps { from, to });
        let is_json_by_chain = steps.as_ref().is_none_or(Steps::is_json_by_chain);
        Road { chain, steps: steps.map(Into::into), is_json_by_chain }
    }

    /// Data at the end of the way, in the form it was in; `None` where a schema on the way cannot read it, or where it
    /// would grow over a bound.
    pub(crate) fn lift(&self, data: &Payload) -> Option<Payload> {
        match data {
            // An event that was read without its data. Of Avro it may be one whose datum takes no bytes.
            data if data.is_empty() && !self.steps.as_ref().is_some_and(|steps| steps.is_empty_datum(data)) => {
                Some(data.clone())
            }
            Payload::Json(json) if self.is_json_by_chain => self.chain.try_lift(json).map(Payload::Json),
            data => self.steps.as_ref()?.lift(data),
        }
    }
}

impl Steps {
    fn is_json_by_chain(&self) -> bool {
        let older = std::iter::once(&self.from).chain(self.to.iter().map(|(_, schema)| schema));
        let mut pairs = older.zip(&self.to);
        // Only Avro knows names for what its JSON calls otherwise.
        pairs.all(|(older, (chain, newer))| {
            newer.format() != SchemaFormat::Avro || !chain.is_identity() || newer.takes_json_of(older)
        })
    }

    fn is_empty_datum(&self, data: &Payload) -> bool {
        self.from.format() == SchemaFormat::Avro && !data.is_json() && self.from.check(data).is_ok()
    }

    fn lift(&self, data: &Payload) -> Option<Payload> {
        let is_binary = matches!(data, Payload::Binary(_));
        let (mut older, mut data) = (&self.from, data.clone());
        for (chain, newer) in &self.to {
            data = match &data {
                data if chain.is_identity() => newer.carry(older, data).ok()?,
                Payload::Json(json) => Payload::Json(chain.try_lift(json)?),
                binary => newer.from_json(chain.try_lift(&older.to_json(binary).ok()?)?, is_binary).ok()?,
            };
            older = newer;
        }
        Some(data)
    }
}
