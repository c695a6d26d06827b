//! From a datum in Avro's binary encoding to JSON, or only to whether it is one.

use std::collections::HashSet;

use bytes::Bytes;
use pacioli_core::json;

use super::encode::broken;
use super::node::{Branch, Id, Kind, Nodes};
use crate::format::Broken;
use crate::trail::Trail;

/// How deep data may nest: as deep as JSON may that the log takes.
pub(super) const DEPTH_MAX: usize = json::DEPTH_MAX;
/// How many bytes a datum or its JSON may have.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many values data may have besides those that its length explains: null and empty records take no bytes.
pub(super) const STEPS_MAX: usize = 250_000;

/// Whether bytes are a datum of the schema.
pub(super) fn check(nodes: &Nodes, bytes: &[u8]) -> Result<(), Broken> {
    either(bytes, |datum| decode(nodes, datum, None).map(drop))
}

/// Whether bytes are a datum of the schema as they are.
pub(super) fn is_bare(nodes: &Nodes, bytes: &[u8]) -> bool {
    decode(nodes, bytes, None).is_ok()
}

/// The JSON that a datum stands for.
pub(super) fn to_json(nodes: &Nodes, bytes: &[u8]) -> Result<Bytes, Broken> {
    either(bytes, |datum| {
        let json = decode(nodes, datum, Some(Vec::with_capacity(datum.len() * 2)))?;
        Ok(json.unwrap_or_default().into())
    })
}

/// Reads the bytes as a datum, or else what stands in them behind a zero byte and the number of a schema.
pub(super) fn either<T>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, Broken>) -> Result<T, Broken> {
    let whole = read(bytes);
    match (&whole, bytes) {
        (Err(_), [0, _, _, _, _, datum @ ..]) => read(datum).or(whole),
        _ => whole,
    }
}

fn decode(nodes: &Nodes, bytes: &[u8], out: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Broken> {
    let mut decoder = Decoder::new(nodes, bytes, out);
    decoder.value(nodes.root, &Trail::Root, 0)?;
    decoder.finish()?;
    Ok(decoder.out)
}

pub(super) struct Decoder<'a> {
    nodes: &'a Nodes,
    /// What is still to be read.
    bytes: &'a [u8],
    out: Option<Vec<u8>>,
    steps: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(nodes: &'a Nodes, bytes: &'a [u8], out: Option<Vec<u8>>) -> Decoder<'a> {
        let steps = bytes.len().saturating_mul(2).saturating_add(STEPS_MAX);
        Decoder { nodes, bytes, out, steps }
    }

    /// Refuses what stands behind the datum.
    pub(super) fn finish(&self) -> Result<(), Broken> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(broken(&Trail::Root, "length", format!("has {more} bytes more than a datum of its schema"))),
        }
    }

    pub(super) fn value(&mut self, id: Id, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(broken(trail, "depth", format!("nests deeper than {DEPTH_MAX}")));
        }
        if self.out.as_ref().is_some_and(|out| out.len() > BYTES_MAX) {
            return Err(broken(trail, "size", format!("amounts to more than {BYTES_MAX} bytes of JSON")));
        }
        match self.steps.checked_sub(1) {
            Some(steps) => self.steps = steps,
            None => return Err(broken(trail, "cost", "has more values than its length explains")),
        }
        match self.nodes.kind(id) {
            Kind::Null => self.push("null"),
            Kind::Boolean => match self.take(1, trail)? {
                [0] => self.push("false"),
                [1] => self.push("true"),
                _ => return Err(broken(trail, "type", "is neither of the bytes 0 and 1 that a boolean is")),
            },
            Kind::Int => {
                let number = self.long(trail)?;
                let problem = || format!("is {number}, and no whole number of 32 bits (int)");
                let number = i32::try_from(number).map_err(|_| broken(trail, "type", problem()))?;
                self.push_json(&number);
            }
            Kind::Long => {
                let number = self.long(trail)?;
                self.push_json(&number);
            }
            Kind::Float => {
                let number = f32::from_le_bytes(self.take_array(trail)?);
                match number.is_finite() {
                    true => self.push_json(&number),
                    false => self.push_json(not_finite(f64::from(number))),
                }
            }
            Kind::Double => {
                let number = f64::from_le_bytes(self.take_array(trail)?);
                match number.is_finite() {
                    true => self.push_json(&number),
                    false => self.push_json(not_finite(number)),
                }
            }
            Kind::String => {
                let text = self.text(trail)?;
                self.push_json(text);
            }
            Kind::Bytes => {
                let length = self.length(trail)?;
                let bytes = self.take(length, trail)?;
                self.push_latin(bytes);
            }
            Kind::Fixed { size, .. } => {
                let bytes = self.take(*size, trail)?;
                self.push_latin(bytes);
            }
            kind @ Kind::Enum { symbols, .. } => {
                let index = self.symbol(kind, trail)?;
                self.push_json(&*symbols[index]);
            }
            Kind::Array(item) => {
                self.push("[");
                let mut index = 0;
                self.items(trail, |decoder| {
                    decoder.comma(index);
                    let item_trail = Trail::Item(trail, index);
                    index += 1;
                    decoder.value(*item, &item_trail, depth + 1)
                })?;
                self.push("]");
            }
            Kind::Map(each) => {
                self.push("{");
                let mut names = HashSet::new();
                self.items(trail, |decoder| {
                    let name = decoder.text(trail)?;
                    decoder.comma(names.len());
                    if !names.insert(name) {
                        return Err(broken(&Trail::Member(trail, name), "map", "is there twice"));
                    }
                    decoder.push_json(name);
                    decoder.push(":");
                    decoder.value(*each, &Trail::Member(trail, name), depth + 1)
                })?;
                self.push("}");
            }
            Kind::Record { fields, .. } => {
                self.push("{");
                for (index, field) in fields.iter().enumerate() {
                    self.comma(index);
                    self.push_json(&*field.name);
                    self.push(":");
                    self.value(field.id, &Trail::Member(trail, &field.name), depth + 1)?;
                }
                self.push("}");
            }
            Kind::Union(branches) => self.union(branches, trail, depth)?,
        }
        Ok(())
    }

    /// The number of an enum's symbol.
    pub(super) fn symbol(&mut self, kind: &Kind, trail: &Trail<'_>) -> Result<usize, Broken> {
        let (name, count) = match kind {
            Kind::Enum { named, symbols, .. } => (&*named.full, symbols.len()),
            kind => (kind.word(), 0),
        };
        let index = self.long(trail)?;
        let problem = || format!("is the symbol number {index}, and `{name}` has {count}");
        let symbol = usize::try_from(index).ok().filter(|index| *index < count);
        symbol.ok_or_else(|| broken(trail, "symbols", problem()))
    }

    /// Of which branch of a union the value is that comes.
    pub(super) fn branch<'b>(&mut self, branches: &'b [Branch], trail: &Trail<'_>) -> Result<&'b Branch, Broken> {
        let index = self.long(trail)?;
        let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
        let problem = || format!("is of the branch number {index}, and the union has {}", branches.len());
        branch.ok_or_else(|| broken(trail, "union", problem()))
    }

    fn union(&mut self, branches: &[Branch], trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        let branch = self.branch(branches, trail)?;
        let kind = self.nodes.kind(branch.id);
        // What is no number in JSON would be taken for a text there.
        let is_number = match (kind, self.bytes) {
            (Kind::Float, [a, b, c, d, ..]) => f32::from_le_bytes([*a, *b, *c, *d]).is_finite(),
            (Kind::Double, bytes) => bytes.first_chunk().is_none_or(|bytes| f64::from_le_bytes(*bytes).is_finite()),
            _ => true,
        };
        if branch.is_plain && is_number {
            return self.value(branch.id, trail, depth);
        }
        self.push("{");
        self.push_json(kind.branch_name());
        self.push(":");
        self.value(branch.id, trail, depth + 1)?;
        self.push("}");
        Ok(())
    }

    /// Reads the items of a list or a map, block by block. None is made room for before it is read.
    fn items(
        &mut self,
        trail: &Trail<'_>,
        mut item: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        loop {
            match self.block(trail)? {
                0 => return Ok(()),
                count => {
                    for _ in 0..count {
                        item(self)?;
                    }
                }
            }
        }
    }

    /// How many items the next block has; 0 is the end.
    pub(super) fn block(&mut self, trail: &Trail<'_>) -> Result<usize, Broken> {
        let count = self.long(trail)?;
        if count < 0 {
            // The length of the block, with which a reader might pass over it.
            self.length(trail)?;
        }
        Ok(usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX))
    }

    pub(super) fn long(&mut self, trail: &Trail<'_>) -> Result<i64, Broken> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take_array(trail)?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err(broken(trail, "type", "is a number of more than 64 bits"))
    }

    pub(super) fn length(&mut self, trail: &Trail<'_>) -> Result<usize, Broken> {
        let length = self.long(trail)?;
        usize::try_from(length).map_err(|_| broken(trail, "length", format!("has the length {length}")))
    }

    pub(super) fn take(&mut self, length: usize, trail: &Trail<'_>) -> Result<&'a [u8], Broken> {
        let problem = || format!("ends too early: {} bytes are left, and {length} are needed", self.bytes.len());
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| broken(trail, "length", problem()))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn take_array<const N: usize>(&mut self, trail: &Trail<'_>) -> Result<[u8; N], Broken> {
        let taken = self.take(N, trail)?;
        Ok(taken.first_chunk().copied().unwrap_or([0; N]))
    }

    pub(super) fn text(&mut self, trail: &Trail<'_>) -> Result<&'a str, Broken> {
        let length = self.length(trail)?;
        std::str::from_utf8(self.take(length, trail)?)
            .map_err(|_| broken(trail, "utf-8", "is a text that is not UTF-8"))
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.push(",");
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(out) = &mut self.out {
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn push_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        if let Some(out) = &mut self.out {
            // Neither numbers nor texts can fail to be written into memory.
            let _ = serde_json::to_writer(out, value);
        }
    }

    fn push_latin(&mut self, bytes: &[u8]) {
        if self.out.is_some() {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            self.push_json(&text);
        }
    }
}

fn not_finite(number: f64) -> &'static str {
    match number {
        number if number.is_nan() => "NaN",
        number if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}
