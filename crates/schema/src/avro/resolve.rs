//! A datum of an older schema as a datum of a newer one, by Avro's rules of schema resolution.
//!
//! JSON between the two would lose what it cannot tell apart: which branch of a union a text is of, and what the bytes of a
//! text are that is read as bytes.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::decode::{Decoder, either};
use super::encode::{Encoder, broken};
use super::node::{Id, Kind, Nodes, RecordField, answers_to, find, promotes};
use crate::format::Broken;
use crate::trail::Trail;

/// What a reader by `reader` makes of a datum that was written by `writer`, encoded by `reader`.
pub(super) fn resolve(writer: &Nodes, reader: &Nodes, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
    either(bytes, |datum| {
        let (from, to) = (Decoder::new(writer, datum, None), Encoder::for_data(reader, datum.len()));
        let mut resolver = Resolver { writer, reader, from, to, plans: HashMap::new() };
        resolver.value(writer.root, reader.root, &Trail::Root, 0)?;
        resolver.from.finish()?;
        Ok(resolver.to.into_datum())
    })
}

struct Resolver<'a> {
    writer: &'a Nodes,
    reader: &'a Nodes,
    from: Decoder<'a>,
    to: Encoder<'a>,
    plans: HashMap<(Id, Id), Rc<Plan>>,
}

/// Where the fields of one record go in another.
struct Plan {
    /// For each field of the writer, which field of the reader it is.
    targets: Vec<Option<usize>>,
    /// Whether they come in the reader's order.
    is_in_order: bool,
}

impl Plan {
    fn new(writer: &[RecordField], reader: &[RecordField]) -> Plan {
        let names: HashMap<&str, usize> = reader.iter().enumerate().map(|(at, field)| (&*field.name, at)).collect();
        let written: HashSet<&str> = writer.iter().map(|field| &*field.name).collect();
        let mut aliases: HashMap<&str, usize> = HashMap::new();
        for (at, field) in reader.iter().enumerate().filter(|(_, field)| !written.contains(&*field.name)) {
            aliases.extend(field.aliases.iter().map(|alias| (&**alias, at)));
        }
        let mut taken = HashSet::new();
        let target = |field: &RecordField| {
            let at = names.get(&*field.name).or_else(|| aliases.get(&*field.name)).copied();
            at.filter(|at| taken.insert(*at))
        };
        let targets: Vec<Option<usize>> = writer.iter().map(target).collect();
        let is_in_order = targets.iter().flatten().is_sorted();
        Plan { targets, is_in_order }
    }
}

impl Resolver<'_> {
    fn value(&mut self, old: Id, new: Id, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        self.to.step(trail, depth)?;
        let (writer, reader) = (self.writer, self.reader);
        let (old_kind, new_kind) = (writer.kind(old), reader.kind(new));
        if let Kind::Union(branches) = old_kind {
            let branch = self.from.branch(branches, trail)?;
            return self.value(branch.id, new, trail, depth);
        }
        if let Kind::Union(branches) = new_kind {
            let ids: Vec<Id> = branches.iter().map(|branch| branch.id).collect();
            self.to.charge(ids.len());
            let same = find(&ids, reader, old_kind, answers_to);
            let id = same.or_else(|| ids.iter().copied().find(|id| promotes(old_kind, reader.kind(*id))));
            let index = id.and_then(|id| ids.iter().position(|one| *one == id));
            let problem = || broken(trail, "union", format!("is a {} that no branch takes", old_kind.branch_name()));
            let index = index.ok_or_else(problem)?;
            self.to.length(index);
            return self.value(old, ids[index], trail, depth);
        }
        let other = || {
            let problem =
                format!("was written as {}, and is read as {}", old_kind.branch_name(), new_kind.branch_name());
            broken(trail, "type", problem)
        };
        if let (Some(old), Some(new)) = (old_kind.named(), new_kind.named())
            && !answers_to(new, old)
        {
            return Err(other());
        }
        match (old_kind, new_kind) {
            (Kind::Record { fields: from, .. }, Kind::Record { fields: to, .. }) => {
                self.record((old, from), (new, to), trail, depth)?;
            }
            (Kind::Enum { symbols, .. }, Kind::Enum { named, indexes, default, .. }) => {
                let symbol = self.from.symbol(old_kind, trail)?;
                let problem = || format!("is `{}`, which is no symbol of `{}`", symbols[symbol], named.full);
                let index = indexes.get(&symbols[symbol]).copied().or(*default);
                self.to.length(index.ok_or_else(|| broken(trail, "symbols", problem()))?);
            }
            (Kind::Fixed { size: from, .. }, Kind::Fixed { size: to, .. }) if from == to => {
                let bytes = self.from.take(*from, trail)?;
                self.to.raw(bytes);
            }
            (Kind::Array(from), Kind::Array(to)) => {
                let mut index = 0;
                self.blocks(trail, |resolver| {
                    let trail = Trail::Item(trail, index);
                    index += 1;
                    resolver.value(*from, *to, &trail, depth + 1)
                })?;
            }
            (Kind::Map(from), Kind::Map(to)) => self.blocks(trail, |resolver| {
                let name = resolver.from.text(trail)?;
                resolver.to.bytes(name.as_bytes());
                resolver.value(*from, *to, &Trail::Member(trail, name), depth + 1)
            })?,
            (Kind::Null, Kind::Null) => {}
            (Kind::Boolean, Kind::Boolean) => {
                let [byte] = self.from.take_array(trail)?;
                self.to.raw(&[byte]);
            }
            (Kind::Int | Kind::Long, Kind::Long) | (Kind::Int, Kind::Int) => {
                let number = self.from.long(trail)?;
                self.to.long(number);
            }
            (Kind::Int | Kind::Long, Kind::Float) => {
                let number = self.from.long(trail)?;
                self.to.raw(&(number as f32).to_le_bytes());
            }
            (Kind::Int | Kind::Long, Kind::Double) => {
                let number = self.from.long(trail)?;
                self.to.raw(&(number as f64).to_le_bytes());
            }
            (Kind::Float, Kind::Double) => {
                let number = f32::from_le_bytes(self.from.take_array(trail)?);
                self.to.raw(&f64::from(number).to_le_bytes());
            }
            (Kind::Float, Kind::Float) => {
                let bytes: [u8; 4] = self.from.take_array(trail)?;
                self.to.raw(&bytes);
            }
            (Kind::Double, Kind::Double) => {
                let bytes: [u8; 8] = self.from.take_array(trail)?;
                self.to.raw(&bytes);
            }
            (Kind::String | Kind::Bytes, Kind::String) => {
                let text = self.from.text(trail)?;
                self.to.bytes(text.as_bytes());
            }
            (Kind::String | Kind::Bytes, Kind::Bytes) => {
                let length = self.from.length(trail)?;
                let bytes = self.from.take(length, trail)?;
                self.to.bytes(bytes);
            }
            _ => return Err(other()),
        }
        Ok(())
    }

    fn record(
        &mut self,
        (old, from): (Id, &[RecordField]),
        (new, to): (Id, &[RecordField]),
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<(), Broken> {
        let plan = Rc::clone(self.plans.entry((old, new)).or_insert_with(|| Rc::new(Plan::new(from, to))));
        let start = self.to.written();
        // Where in what is written since each field of the reader stands; only what is out of order is put in order later.
        let mut places = vec![None; if plan.is_in_order { 0 } else { to.len() }];
        let mut next = 0;
        for (field, target) in from.iter().zip(&plan.targets) {
            let trail = Trail::Member(trail, &field.name);
            let Some(target) = *target else {
                self.from.value(field.id, &trail, depth + 1)?;
                continue;
            };
            if plan.is_in_order {
                self.presets(new, to, next..target, &trail, depth)?;
                next = target + 1;
            }
            let begin = self.to.written();
            self.value(field.id, to[target].id, &trail, depth + 1)?;
            if !plan.is_in_order {
                places[target] = Some(begin - start..self.to.written() - start);
            }
        }
        if plan.is_in_order {
            return self.presets(new, to, next..to.len(), trail, depth);
        }
        let written = self.to.take_since(start);
        self.to.charge(written.len());
        for (index, place) in places.into_iter().enumerate() {
            match place {
                Some(place) => self.to.raw(&written[place]),
                None => self.presets(new, to, index..index + 1, trail, depth)?,
            }
        }
        Ok(())
    }

    /// Writes the defaults of fields that the writer did not know.
    fn presets(
        &mut self,
        record: Id,
        fields: &[RecordField],
        which: std::ops::Range<usize>,
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<(), Broken> {
        for index in which {
            let trail = Trail::Member(trail, &fields[index].name);
            if fields[index].preset.is_none() {
                return Err(broken(&trail, "required", "is not there, and has no default"));
            }
            self.to.preset(record, index, &trail, depth)?;
        }
        Ok(())
    }

    /// The items of a list or a map, block by block as they were written.
    fn blocks(
        &mut self,
        trail: &Trail<'_>,
        mut item: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        loop {
            let count = self.from.block(trail)?;
            self.to.length(count);
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }
}
