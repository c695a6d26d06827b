//! What changed between two Avro schemas, and whom it breaks: by Avro's rules of schema resolution, in both directions.

use std::collections::{HashMap, HashSet, VecDeque};

use super::node::{Id, Kind, Logical, Named, Nodes, RecordField, answers_to, find, promotes};
use crate::compat::Change;
use crate::difference::{DIFFERENCES_MAX, Difference};
use crate::trail;

/// How many pairs of types are compared, at most.
const PAIRS_MAX: usize = 10_000;

/// What is asked of two schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whether a reader takes what was written for what it is, and still finds what events always said, as in every other
    /// language.
    Meaning,
    /// Whether a reader can decode it, which is all that Avro's own libraries and Confluent's registry ask: logical types,
    /// the namespaces of names and what is not read any more are nothing to them.
    Decoding,
}

/// What changed.
pub(super) fn changes(older: &Nodes, newer: &Nodes, asked: Asked) -> Vec<Change> {
    compare(older, newer, asked).changes
}

/// Whether JSON in the shape of the older schema is in that of the newer one, where no change is a break.
pub(super) fn is_json_the_same(older: &Nodes, newer: &Nodes) -> bool {
    !compare(older, newer, Asked::Meaning).is_json_other
}

fn compare<'a>(older: &'a Nodes, newer: &'a Nodes, asked: Asked) -> Comparison<'a> {
    let queue = VecDeque::from([(String::new(), older.root, newer.root)]);
    let mut comparison = Comparison { older, newer, asked, queue, changes: Vec::new(), is_json_other: false };
    let mut compared = HashSet::new();
    while let Some((path, old, new)) = comparison.queue.pop_front() {
        // Types that were compared once break nobody anew at another place, and may contain themselves.
        if !compared.insert((old, new)) {
            continue;
        }
        if compared.len() > PAIRS_MAX || comparison.changes.len() >= DIFFERENCES_MAX {
            comparison.changes.push(Difference::more().into());
            comparison.is_json_other = true;
            break;
        }
        comparison.pair(&path, old, new);
    }
    comparison
}

struct Comparison<'a> {
    older: &'a Nodes,
    newer: &'a Nodes,
    asked: Asked,
    queue: VecDeque<(String, Id, Id)>,
    changes: Vec<Change>,
    /// Whether the two schemas write the same value as different JSON somewhere.
    is_json_other: bool,
}

impl Comparison<'_> {
    fn push(&mut self, difference: Difference<'_>) {
        self.changes.push(difference.into());
    }

    fn later(&mut self, path: impl Into<String>, old: Id, new: Id) {
        self.queue.push_back((path.into(), old, new));
    }

    fn pair(&mut self, path: &str, old: Id, new: Id) {
        let (old_kind, new_kind) = (self.older.kind(old), self.newer.kind(new));
        if matches!(old_kind, Kind::Union(_)) || matches!(new_kind, Kind::Union(_)) {
            return self.unions(path, old, new);
        }
        if !self.names(path, old_kind, new_kind) {
            return;
        }
        match (old_kind, new_kind) {
            (Kind::Record { fields: old, .. }, Kind::Record { fields: new, .. }) => self.records(path, old, new),
            (
                Kind::Enum { named, symbols: old, default: old_default, .. },
                Kind::Enum { symbols: new, default: new_default, .. },
            ) => {
                let default_of = |symbols: &[Box<str>], default: &Option<usize>| default.map(|at| symbols[at].clone());
                let defaults = (default_of(old, old_default), default_of(new, new_default));
                self.enums(path, named, (old, new), defaults);
            }
            (Kind::Array(old), Kind::Array(new)) | (Kind::Map(old), Kind::Map(new)) => {
                self.later(trail::items(path), *old, *new);
            }
            (Kind::Fixed { size: old, .. }, Kind::Fixed { size: new, .. }) if old != new => self.push(
                Difference::new(path, format!("had {old} bytes and has {new}"))
                    .both("cannot read it")
                    .way("add a fixed of another name beside it"),
            ),
            (old, new) => self.plain(path, old, new),
        }
        if self.asked == Asked::Meaning {
            self.logical(path, old, new);
        }
    }

    /// Types that are neither named nor contain others.
    fn plain(&mut self, path: &str, old: &Kind, new: &Kind) {
        if std::mem::discriminant(old) == std::mem::discriminant(new) {
            return;
        }
        self.is_json_other |= matches!((old, new), (Kind::String, Kind::Bytes) | (Kind::Bytes, Kind::String));
        let difference = Difference::new(path, format!("was {} and is {}", article(old), article(new)));
        self.push(match (promotes(old, new), promotes(new, old)) {
            (true, true) => difference,
            (true, false) => difference.forward("cannot read what is wider than they know"),
            (false, true) => difference.backward("cannot read what is wider than they know").way("keep the wider type"),
            (false, false) => difference.both("cannot read it").way("add a field of another name beside it"),
        });
    }

    /// Whether two types go by the same name, if they have one, and can be compared any further.
    fn names(&mut self, path: &str, old: &Kind, new: &Kind) -> bool {
        let (Some(old_name), Some(new_name)) = (old.named(), new.named()) else { return true };
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let is_called_so = || self.asked == Asked::Decoding && last(&old_name.full) == last(&new_name.full);
        if old.word() != new.word() || is_called_so() {
            return true;
        }
        let difference = Difference::new(
            path,
            format!("was of the {} `{}` and is of `{}`", old.word(), old_name.full, new_name.full),
        );
        match (answers_to(new_name, old_name), answers_to(old_name, new_name)) {
            (true, true) => return true,
            (true, false) => self.push(difference.forward("do not take the one for the other")),
            (false, true) => {
                let way = format!("give the new one the alias `{}`", old_name.full);
                self.push(difference.backward("do not take the one for the other").way(way));
            }
            (false, false) => {
                let way = format!("keep the name, or give the new one the alias `{}`", old_name.full);
                self.push(difference.both("do not take the one for the other").way(way));
                // With the alias, what else is different comes into sight.
                return false;
            }
        }
        true
    }

    fn logical(&mut self, path: &str, old: Id, new: Id) {
        let (old, new) = (self.older.all[old].logical.as_ref(), self.newer.all[new].logical.as_ref());
        if old == new {
            return;
        }
        match (old, new) {
            (
                Some(Logical::Decimal { precision: old_precision, scale: old_scale }),
                Some(Logical::Decimal { precision, scale }),
            ) => self.push(
                Difference::new(
                    path,
                    format!(
                        "was a decimal of {old_precision} digits, {old_scale} of them behind the point, and is one of \
                         {precision} and {scale}"
                    ),
                )
                .both("take its digits for another number, or refuse it")
                .way("add a field of another name beside it"),
            ),
            (Some(Logical::Other(old)), Some(Logical::Other(new))) if unit(old) != unit(new) => self.push(
                Difference::new(path, format!("was a {old} and is a {new}"))
                    .both("take its number for another time than it is")
                    .way("add a field of another name beside it"),
            ),
            (old, new) => {
                let told = |logical: Option<&Logical>| logical.map_or("no logical type", Logical::word).to_owned();
                self.push(Difference::new(path, format!("had {} and has {}", told(old), told(new))));
            }
        }
    }

    fn unions(&mut self, path: &str, old: Id, new: Id) {
        let (old_ids, new_ids) = (self.older.branches(old), self.newer.branches(new));
        let (older, newer) = (self.older, self.newer);
        self.is_json_other |= old_ids.iter().any(|id| !is_told_apart_alike(older, newer, *id, (&old_ids, &new_ids)));
        let mut known = HashSet::new();
        for old in &old_ids {
            let kind = older.kind(*old);
            let same = find(&new_ids, newer, kind, answers_to);
            let same = same.or_else(|| find(&new_ids, newer, kind, |new, old| answers_to(old, new)));
            if let Some(new) = same {
                known.insert(new);
                self.later(path, *old, new);
                continue;
            }
            let promoted = new_ids.iter().copied().find(|new| promotes(kind, newer.kind(*new)));
            if let Some(new) = promoted {
                let is_new = known.insert(new) && find(&old_ids, older, newer.kind(new), |_, _| true).is_none();
                let what = format!("was {} and is {} now", article(kind), article(newer.kind(new)));
                let is_read = old_ids.iter().any(|old| promotes(newer.kind(new), older.kind(*old)));
                self.push(match is_new && !is_read {
                    true => Difference::new(path, what).forward("cannot read what is wider than they know"),
                    false => Difference::new(path, what),
                });
                continue;
            }
            let way = format!("keep `{}` in the union", kind.branch_name());
            let difference = Difference::new(path, format!("is no longer {}", article(kind)));
            self.push(difference.backward("cannot read the stored values of that type").way(way));
        }
        for new in new_ids.iter().filter(|new| !known.contains(new)) {
            let kind = newer.kind(*new);
            let difference = Difference::new(path, format!("may be {}", article(kind)));
            let is_read = old_ids.iter().any(|old| promotes(kind, older.kind(*old)));
            self.push(if is_read { difference } else { difference.forward("cannot read a value of that type") });
        }
    }

    fn enums(
        &mut self,
        path: &str,
        named: &Named,
        (old, new): (&[Box<str>], &[Box<str>]),
        (old_default, new_default): (Option<Box<str>>, Option<Box<str>>),
    ) {
        let (old_set, new_set): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
        let removed: Vec<&str> = old.iter().filter(|symbol| !new_set.contains(symbol)).map(|one| &**one).collect();
        let added: Vec<&str> = new.iter().filter(|symbol| !old_set.contains(symbol)).map(|one| &**one).collect();
        self.is_json_other |= !removed.is_empty();
        if !removed.is_empty() {
            let difference = Difference::new(path, format!("is no longer {} of `{}`", either(&removed), named.full));
            self.push(match &new_default {
                Some(_) => difference,
                None => difference
                    .backward("cannot read the events that have it")
                    .way("keep the symbol, or give the enum a default"),
            });
        }
        if !added.is_empty() {
            let difference = Difference::new(path, format!("may be {} of `{}`", either(&added), named.full));
            self.push(match &old_default {
                Some(_) => difference,
                None => difference.forward("do not know that symbol"),
            });
        }
        if removed.is_empty() && added.is_empty() && old != new {
            self.push(
                Difference::new(path, format!("has the symbols of `{}` in another order", named.full)).invisible(),
            );
        }
        if old_default != new_default {
            let told =
                |default: &Option<Box<str>>| default.as_ref().map_or("none".to_owned(), |one| format!("`{one}`"));
            let what = format!("had the enum's default {} and has {}", told(&old_default), told(&new_default));
            self.push(Difference::new(path, what));
        }
    }

    fn records(&mut self, path: &str, old: &[RecordField], new: &[RecordField]) {
        let mut known = HashSet::new();
        let old_names: HashSet<&str> = old.iter().map(|field| &*field.name).collect();
        let named: HashMap<&str, &RecordField> = new.iter().map(|field| (&*field.name, field)).collect();
        let is_renamed = |field: &&RecordField| !old_names.contains(&*field.name);
        let aliases =
            new.iter().filter(is_renamed).flat_map(|field| field.aliases.iter().map(move |alias| (&**alias, field)));
        let aliases: HashMap<&str, &RecordField> = aliases.collect();
        for field in old {
            let by_name = named.get(&*field.name).copied();
            let by_alias = || aliases.get(&*field.name).copied();
            // A reader by the older schema finds it by the aliases that stand in that one.
            let by_old_alias = || {
                let fields = field.aliases.iter().filter_map(|alias| named.get(&**alias).copied());
                fields.into_iter().find(|field| is_renamed(field))
            };
            let Some(now) = by_name.or_else(by_alias).or_else(by_old_alias) else {
                let path = trail::member(path, &field.name);
                let difference = Difference::new(&path, "is gone");
                let way = "keep it, or give it a default first, in a version of its own";
                self.push(match (&field.preset, self.asked) {
                    (Some(_), _) => difference,
                    (None, Asked::Decoding) => difference.forward("do not find it").way(way),
                    (None, Asked::Meaning) => {
                        difference.backward("no longer see what it says there").forward("do not find it").way(way)
                    }
                });
                continue;
            };
            known.insert(&now.name);
            if now.name != field.name {
                self.renamed(&trail::member(path, &field.name), field, now);
            }
            let path = trail::member(path, &now.name);
            match (&field.preset, &now.preset) {
                (Some(_), None) => {
                    self.is_json_other = true;
                    self.push(Difference::new(&path, "has no default any more, so JSON must not leave it out"));
                }
                (None, Some(_)) => self.push(Difference::new(&path, "has a default, so JSON may leave it out")),
                (Some(old), Some(new)) if old.json != new.json => {
                    self.push(Difference::new(&path, format!("has the default {} instead of {}", new.json, old.json)));
                }
                _ => {}
            }
            self.later(path, field.id, now.id);
        }
        for field in new.iter().filter(|field| !known.contains(&field.name)) {
            let path = trail::member(path, &field.name);
            let difference = Difference::new(&path, "is new");
            self.push(match &field.preset {
                Some(_) => difference,
                None => {
                    let way = "give it a default, or say in its aliases what it was called before";
                    difference.backward("do not find it in them, and it has no default").way(way)
                }
            });
        }
    }

    fn renamed(&mut self, path: &str, old: &RecordField, new: &RecordField) {
        self.is_json_other = true;
        let mut difference = Difference::new(path, format!("is called `{}` now", new.name));
        if !new.aliases.contains(&old.name) && new.preset.is_none() {
            let way = format!("give `{}` the alias `{}`", new.name, old.name);
            difference = difference.backward("do not find it by its new name").way(way);
        }
        if !old.aliases.contains(&new.name) && old.preset.is_none() {
            difference = difference.forward("do not find it by its old name");
        }
        self.push(difference);
    }
}

/// Whether a branch of the older union is told from the others in the newer one as it was: by its kind of JSON alone, or
/// by the names of the same branches in the same order.
fn is_told_apart_alike(older: &Nodes, newer: &Nodes, id: Id, (old, new): (&[Id], &[Id])) -> bool {
    let form = older.kind(id).form();
    let alike = |nodes: &Nodes, ids: &[Id]| -> Vec<String> {
        let ids = ids.iter().filter(|id| nodes.kind(**id).form() == form);
        ids.map(|id| nodes.kind(*id).branch_name().to_owned()).collect()
    };
    // Where it stands wrapped, it does by its name.
    alike(older, old) == alike(newer, new)
}

/// The unit of a logical type of time, and what it counts from; of any other, nothing.
fn unit(word: &str) -> Option<&str> {
    (word == "date" || word.contains("time")).then_some(word)
}

fn article(kind: &Kind) -> String {
    match kind {
        Kind::Null => "null".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Int => "an int".to_owned(),
        kind => match kind.named() {
            Some(named) => format!("of the {} `{}`", kind.word(), named.full),
            None if kind.word() == "array" => "an array".to_owned(),
            None => format!("a {}", kind.word()),
        },
    }
}

fn either(symbols: &[&str]) -> String {
    let told: Vec<String> = symbols.iter().take(10).map(|symbol| format!("`{symbol}`")).collect();
    let more = if symbols.len() > 10 { format!(" or {} more", symbols.len() - 10) } else { String::new() };
    format!("{}{more}", told.join(" or "))
}
