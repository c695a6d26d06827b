//! JSON as a tree over its bytes, of which only what a pointer leads through is taken apart.

use std::borrow::Cow;
use std::collections::HashMap;

use super::scan::{decoded, skip_space, string_end, text, value_end};

/// From how many members on duplicates are looked for with a table.
const MEMBERS_COMPARED_ONE_BY_ONE: usize = 32;

/// A value. One that was not taken apart, or was and did not change, is written as it was read.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// Not taken apart.
    Raw(&'a [u8]),
    /// Made by a step.
    Made(Box<[u8]>),
    /// An object, boxed as most nodes are none and many are moved.
    Object(Box<Object<'a>>),
    /// A list.
    List(Box<List<'a>>),
}

/// An object with its text.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    members: Vec<Member<'a>>,
    raw: &'a [u8],
    is_changed: bool,
}

/// A list with its text, which is empty once it changed.
#[derive(Clone, Debug)]
pub(super) struct List<'a> {
    items: Vec<Node<'a>>,
    raw: &'a [u8],
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    key: Key<'a>,
    value: Node<'a>,
    /// Where it lies in the text of its object.
    lies: Lies,
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
struct Key<'a> {
    /// As it is spelled, in quotation marks.
    text: &'a [u8],
    /// Whether an escape is in that spelling, so that it has to be read before it is compared.
    is_escaped: bool,
}

/// Where a member lies, from its name to the end of its value; at no bytes where a step made it.
#[derive(Clone, Copy, Debug)]
struct Lies {
    from: u32,
    to: u32,
    /// How many members lie in front of it.
    index: u32,
}

impl Lies {
    const NOWHERE: Lies = Lies { from: 0, to: 0, index: 0 };
}

/// A segment of a pointer, ready to be compared and written.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The name, in quotation marks.
    key: Box<[u8]>,
    name: Box<str>,
    is_escaped: bool,
    /// The number of an item, where it is one.
    index: Option<usize>,
    is_every: bool,
}

impl Segment {
    pub(super) fn new(name: &str) -> Segment {
        let key = text(name);
        let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = digits && (name == "0" || !name.starts_with('0'));
        Segment {
            is_escaped: key.contains(&b'\\'),
            key,
            name: name.into(),
            index: if is_plain { name.parse().ok() } else { None },
            is_every: name == "*",
        }
    }

    /// How many bytes it adds where it is made.
    pub(super) fn len(&self) -> usize {
        self.key.len() + 4
    }

    /// Whether it can lead to an item of a list.
    pub(super) fn is_index(&self) -> bool {
        self.index.is_some()
    }
}

impl<'a> Key<'a> {
    fn of(segment: &'a Segment) -> Key<'a> {
        Key { text: &segment.key, is_escaped: segment.is_escaped }
    }

    fn name(self) -> Cow<'a, [u8]> {
        match decoded(self.text) {
            Some(Cow::Borrowed(name)) => Cow::Borrowed(name.as_bytes()),
            Some(Cow::Owned(name)) => Cow::Owned(name.into_bytes()),
            None => Cow::Borrowed(self.text),
        }
    }

    fn is_same_as(self, other: Key<'_>) -> bool {
        if self.is_escaped || other.is_escaped { self.name() == other.name() } else { self.text == other.text }
    }
}

impl<'a> Member<'a> {
    const EMPTY: Member<'static> =
        Member { key: Key { text: &[], is_escaped: false }, value: Node::Raw(&[]), lies: Lies::NOWHERE };

    fn made(segment: &'a Segment, value: Node<'a>) -> Member<'a> {
        Member { key: Key::of(segment), value, lies: Lies::NOWHERE }
    }

    #[inline]
    fn has_name(&self, segment: &Segment) -> bool {
        if self.key.is_escaped {
            return decoded(self.key.text).is_some_and(|name| *name == *segment.name);
        }
        !segment.is_escaped && *self.key.text == *segment.key
    }

    /// Where it lies, where it still is what lies there.
    fn untouched(&self) -> Option<Lies> {
        (self.lies.to > 0 && self.value.is_untouched()).then_some(self.lies)
    }
}

impl<'a> Node<'a> {
    /// Its text, where it was not taken apart.
    pub(super) fn scalar(&self) -> Option<&[u8]> {
        match self {
            Node::Raw(bytes) if !matches!(bytes.first(), Some(b'{' | b'[')) => Some(bytes),
            Node::Made(bytes) if !matches!(bytes.first(), Some(b'{' | b'[')) => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is as it was read.
    pub(super) fn is_untouched(&self) -> bool {
        match self {
            Node::Raw(_) => true,
            Node::Made(_) => false,
            Node::Object(object) => !object.is_changed,
            Node::List(list) => !list.raw.is_empty(),
        }
    }

    /// The same again, taken apart no further than it has to be.
    pub(super) fn copied(&self) -> Node<'a> {
        match self {
            Node::Object(object) if !object.is_changed => Node::Raw(object.raw),
            Node::List(list) if !list.raw.is_empty() => Node::Raw(list.raw),
            other => other.clone(),
        }
    }

    fn touch(&mut self) {
        match self {
            Node::Object(object) => object.is_changed = true,
            Node::List(list) => list.raw = &[],
            Node::Raw(_) | Node::Made(_) => {}
        }
    }

    /// Whether it holds others.
    pub(super) fn is_container(&self) -> bool {
        self.scalar().is_none()
    }

    /// Takes an object or a list apart; what is none stays.
    fn expand(&mut self) {
        let Node::Raw(raw) = *self else { return };
        let parts = match raw.first() {
            Some(b'{') => {
                members(raw).map(|members| Node::Object(Box::new(Object { members, raw, is_changed: false })))
            }
            Some(b'[') => items(raw).map(|items| Node::List(Box::new(List { items, raw }))),
            _ => None,
        };
        if let Some(parts) = parts {
            *self = parts;
        }
    }

    /// What one segment leads to.
    fn child(&mut self, segment: &Segment) -> Option<&mut Node<'a>> {
        self.expand();
        match self {
            Node::Object(object) => {
                object.members.iter_mut().find(|member| member.has_name(segment)).map(|member| &mut member.value)
            }
            Node::List(list) => list.items.get_mut(segment.index?),
            Node::Raw(_) | Node::Made(_) => None,
        }
    }

    /// What a path leads to, to be looked at.
    pub(super) fn find(&mut self, path: &[Segment]) -> Option<&Node<'a>> {
        let mut node = self;
        for segment in path {
            node = node.child(segment)?;
        }
        Some(node)
    }

    /// Replaces what a path leads to by what `make` makes of it, where it makes something.
    pub(super) fn replace(&mut self, path: &[Segment], make: &mut dyn FnMut(&Node<'a>) -> Option<Node<'a>>) -> bool {
        let changed = match path.split_first() {
            None => match make(self) {
                Some(new) => {
                    *self = new;
                    return true;
                }
                None => false,
            },
            Some((segment, rest)) => {
                let changed = self.child(segment).is_some_and(|child| child.replace(rest, make));
                if changed && rest.is_empty() {
                    self.forget(segment);
                }
                changed
            }
        };
        if changed {
            self.touch();
        }
        changed
    }

    /// Does something in every item that a path with `*` in it leads to, last.
    pub(super) fn each(&mut self, lists: &[Segment], run: &mut dyn FnMut(&mut Node<'a>) -> bool) -> bool {
        let changed = match lists.split_first() {
            None => return run(self),
            Some((segment, rest)) if segment.is_every => {
                self.expand();
                let Node::List(list) = self else { return false };
                list.items.iter_mut().fold(false, |changed, item| item.each(rest, run) | changed)
            }
            Some((segment, rest)) => self.child(segment).is_some_and(|child| child.each(rest, run)),
        };
        if changed {
            self.touch();
        }
        changed
    }

    /// Sets a value at a path, and makes the objects that lack on the way. Gives it back where it cannot be set.
    pub(super) fn set(&mut self, path: &'a [Segment], value: Node<'a>) -> Result<(), Node<'a>> {
        let Some((segment, rest)) = path.split_first() else {
            *self = value;
            return Ok(());
        };
        match self.child(segment) {
            Some(child) => {
                child.set(rest, value)?;
                if rest.is_empty() {
                    self.forget(segment);
                }
            }
            None => self.add(segment, rest, value)?,
        }
        self.touch();
        Ok(())
    }

    /// Sets a value at a path where nothing is there, and says whether it did.
    pub(super) fn set_missing(&mut self, path: &'a [Segment], value: Node<'a>) -> bool {
        let Some((segment, rest)) = path.split_first() else { return false };
        let is_set = match self.child(segment) {
            Some(child) => child.set_missing(rest, value),
            None => self.add(segment, rest, value).is_ok(),
        };
        if is_set {
            self.touch();
        }
        is_set
    }

    /// Adds a member to an object that has none of that name, and the objects that lack on the way to the value.
    fn add(&mut self, segment: &'a Segment, rest: &'a [Segment], value: Node<'a>) -> Result<(), Node<'a>> {
        let Node::Object(object) = self else { return Err(value) };
        let nested = |value, segment: &'a Segment| object_of(segment, value);
        let value = rest.iter().rev().fold(value, nested);
        object.members.push(Member::made(segment, value));
        Ok(())
    }

    /// Notes that a member's value is not any more the one that lies in the object's text.
    fn forget(&mut self, segment: &Segment) {
        if let Node::Object(object) = self
            && let Some(member) = object.members.iter_mut().find(|member| member.has_name(segment))
        {
            member.lies = Lies::NOWHERE;
        }
    }

    /// Whether it is an object, which a value can be set in by any name.
    pub(super) fn is_object(&mut self) -> bool {
        self.expand();
        matches!(self, Node::Object(_))
    }

    /// Whether a value can be set at a path.
    pub(super) fn can_set(&mut self, path: &[Segment]) -> bool {
        let Some((segment, rest)) = path.split_first() else { return true };
        match self.child(segment) {
            Some(child) => child.can_set(rest),
            None => matches!(self, Node::Object(_)),
        }
    }

    /// Takes away what a path leads to, and says at which place it was among its siblings.
    pub(super) fn take(&mut self, path: &[Segment]) -> Option<Taken<'a>> {
        let (segment, rest) = path.split_first()?;
        let taken = if rest.is_empty() {
            self.expand();
            match self {
                Node::Object(object) => {
                    let members = &mut object.members;
                    let at = members.iter().position(|member| member.has_name(segment))?;
                    Taken { at, member: members.remove(at) }
                }
                Node::List(list) => {
                    let items = &mut list.items;
                    let at = segment.index.filter(|at| *at < items.len())?;
                    let key = Key { text: &[], is_escaped: false };
                    Taken { at, member: Member { key, value: items.remove(at), lies: Lies::NOWHERE } }
                }
                Node::Raw(_) | Node::Made(_) => return None,
            }
        } else {
            self.child(segment)?.take(rest)?
        };
        self.touch();
        Some(taken)
    }

    /// Puts back what was taken from this path.
    pub(super) fn put_back(&mut self, path: &[Segment], taken: Taken<'a>) {
        let Some((segment, rest)) = path.split_first() else { return };
        if !rest.is_empty() {
            if let Some(child) = self.child(segment) {
                child.put_back(rest, taken);
            }
            return;
        }
        match self {
            Node::Object(object) => object.members.insert(taken.at, taken.member),
            Node::List(list) => list.items.insert(taken.at, taken.member.value),
            Node::Raw(_) | Node::Made(_) => {}
        }
    }

    /// Takes all items of a list away.
    pub(super) fn clear(&mut self) -> bool {
        self.expand();
        let Node::List(list) = self else { return false };
        let had_some = !list.items.is_empty();
        if had_some {
            list.items.clear();
            list.raw = &[];
        }
        had_some
    }

    /// About how many bytes it is when it is written.
    pub(super) fn size(&self) -> usize {
        match self {
            Node::Raw(bytes) => bytes.len(),
            Node::Made(bytes) => bytes.len(),
            Node::Object(object) if !object.is_changed => object.raw.len(),
            Node::List(list) if !list.raw.is_empty() => list.raw.len(),
            Node::Object(object) => {
                object.members.iter().map(|member| member.key.text.len() + 2 + member.value.size()).sum::<usize>() + 2
            }
            Node::List(list) => list.items.iter().map(|item| item.size() + 1).sum::<usize>() + 2,
        }
    }

    /// How deep lists and objects nest in it, as far as it was taken apart.
    pub(super) fn depth(&self) -> usize {
        let deepest = match self {
            Node::Raw(_) | Node::Made(_) => return 0,
            Node::Object(object) => object.members.iter().map(|member| member.value.depth()).max(),
            Node::List(list) => list.items.iter().map(Node::depth).max(),
        };
        deepest.unwrap_or(0) + 1
    }

    /// Writes it.
    pub(super) fn write(&self, json: &mut Vec<u8>) {
        match self {
            Node::Raw(bytes) => json.extend_from_slice(bytes),
            Node::Made(bytes) => json.extend_from_slice(bytes),
            Node::Object(object) if !object.is_changed => json.extend_from_slice(object.raw),
            Node::List(list) if !list.raw.is_empty() => json.extend_from_slice(list.raw),
            Node::Object(object) => write_members(&object.members, object.raw, json),
            Node::List(list) => {
                json.push(b'[');
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    item.write(json);
                }
                json.push(b']');
            }
        }
    }
}

/// What was taken away, and from which place.
pub(super) struct Taken<'a> {
    at: usize,
    member: Member<'a>,
}

impl<'a> Taken<'a> {
    /// Takes the value out, so that it can be set elsewhere.
    pub(super) fn value(&mut self) -> Node<'a> {
        std::mem::replace(&mut self.member.value, Node::Raw(b"null"))
    }

    /// Puts the value in again, so that it can be put back.
    pub(super) fn refill(&mut self, value: Node<'a>) {
        self.member.value = value;
    }
}

fn object_of<'a>(segment: &'a Segment, value: Node<'a>) -> Node<'a> {
    Node::Object(Box::new(Object { members: vec![Member::made(segment, value)], raw: &[], is_changed: true }))
}

/// Writes an object that changed. Members that did not and still are neighbours are written in one piece.
fn write_members(members: &[Member<'_>], raw: &[u8], json: &mut Vec<u8>) {
    json.push(b'{');
    let mut rest = members;
    while let Some((first, behind)) = rest.split_first() {
        if rest.len() < members.len() {
            json.push(b',');
        }
        rest = behind;
        let Some(mut last) = first.untouched() else {
            json.extend_from_slice(first.key.text);
            json.push(b':');
            first.value.write(json);
            continue;
        };
        let from = last.from;
        while let Some((next, behind)) = rest.split_first()
            && let Some(lies) = next.untouched()
            && lies.index == last.index + 1
        {
            (last, rest) = (lies, behind);
        }
        json.extend_from_slice(&raw[from as usize..last.to as usize]);
    }
    json.push(b'}');
}

/// The members of an object, of those of one name the last. `None` where it is no well-formed object.
fn members(raw: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut members: Vec<Member<'_>> = Vec::with_capacity(16);
    // A bit for each name seen: where it is not set, the name is new.
    let (mut seen, mut many) = (0_u64, HashMap::new());
    let mut index = 0;
    let mut at = skip_space(raw, 1);
    if raw.get(at) == Some(&b'}') {
        return Some(members);
    }
    loop {
        let key_at = at;
        let (key_end, is_escaped) = string_end(raw, at)?;
        let key = Key { text: &raw[at..key_end], is_escaped };
        at = skip_space(raw, key_end);
        if raw.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(raw, at + 1);
        let end = value_end(raw, at)?;
        let lies = Lies { from: key_at as u32, to: end as u32, index };
        index += 1;
        let bit = 1_u64 << if is_escaped { 63 } else { bit_of(key.text) };
        // A name with an escape may be the same as any, and any the same as it.
        let may_be_known = seen & (bit | 1 << 63) != 0 || is_escaped;
        seen |= bit;
        let text = &raw[at..end];
        if may_be_known || members.len() >= MEMBERS_COMPARED_ONE_BY_ONE {
            add_or_replace(&mut members, &mut many, key, text, lies);
        } else {
            // Filled in where it stays: a member that is put together elsewhere and copied waits for its own parts.
            members.push(Member::EMPTY);
            if let Some(member) = members.last_mut() {
                member.key = key;
                member.lies = lies;
                // Nothing is lost: what was there is the empty one.
                std::mem::forget(std::mem::replace(&mut member.value, Node::Raw(text)));
            }
        }
        at = skip_space(raw, end);
        match raw.get(at)? {
            b',' => at = skip_space(raw, at + 1),
            b'}' => return Some(members),
            _ => return None,
        }
    }
}

/// Adds a member whose name may be one of those that came before it: then it is put in the place of that.
#[inline(never)]
fn add_or_replace<'a>(
    members: &mut Vec<Member<'a>>,
    places: &mut HashMap<Cow<'a, [u8]>, usize>,
    key: Key<'a>,
    text: &'a [u8],
    lies: Lies,
) {
    let known = if members.len() >= MEMBERS_COMPARED_ONE_BY_ONE {
        if places.is_empty() {
            places.extend(members.iter().enumerate().map(|(place, member)| (member.key.name(), place)));
        }
        places.get(&key.name()).copied()
    } else {
        members.iter().position(|other| other.key.is_same_as(key))
    };
    match known {
        Some(known) => members[known] = Member { key, value: Node::Raw(text), lies: Lies::NOWHERE },
        None => {
            if !places.is_empty() {
                places.insert(key.name(), members.len());
            }
            members.push(Member { key, value: Node::Raw(text), lies });
        }
    }
}

/// A number below 64 for a name in quotation marks, which differs for most names that differ.
#[inline]
fn bit_of(text: &[u8]) -> usize {
    (text.len() * 7 + usize::from(text[1]) * 5 + usize::from(text[text.len() / 2])) & 63
}

/// The items of a list. `None` where it is no well-formed list.
fn items(raw: &[u8]) -> Option<Vec<Node<'_>>> {
    let mut items = Vec::new();
    let mut at = skip_space(raw, 1);
    if raw.get(at) == Some(&b']') {
        return Some(items);
    }
    loop {
        let end = value_end(raw, at)?;
        items.push(Node::Raw(&raw[at..end]));
        at = skip_space(raw, end);
        match raw.get(at)? {
            b',' => at = skip_space(raw, at + 1),
            b']' => return Some(items),
            _ => return None,
        }
    }
}

/// The name of a member, decoded, and the text of its value.
pub(super) type Named<'a> = (Cow<'a, [u8]>, &'a [u8]);

/// The members of an object as its names, decoded, and the texts of its values; of those of one name the last.
pub(super) fn named(raw: &[u8]) -> Option<Vec<Named<'_>>> {
    let named = members(raw)?.into_iter().filter_map(|member| match member.value {
        Node::Raw(value) => Some((member.key.name(), value)),
        _ => None,
    });
    Some(named.collect())
}

/// The texts of a list's items.
pub(super) fn listed(raw: &[u8]) -> Option<Vec<&[u8]>> {
    let listed = items(raw)?.into_iter().filter_map(|item| match item {
        Node::Raw(value) => Some(value),
        _ => None,
    });
    Some(listed.collect())
}
