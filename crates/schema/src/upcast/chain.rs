//! Upcasters one behind the other, compiled, and run over the bytes of an event.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::scan;
use super::tree::{Node, Segment};
use super::value::{self, Table};
use super::{CastTo, Pointer, Step, Upcaster};

/// By how many bytes a chain may make data grow.
pub const GROWTH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many items of lists a chain may look at, with every step that is run over them counted anew.
const ITEMS_MAX: usize = 1_000_000;
/// How deep data may nest while a chain runs.
const DEPTH_MAX: usize = 512;
/// Bytes that a thread keeps to write into.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    /// What is lifted is written here first, so that its bytes take one allocation, of their size.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Several upcasters, one behind the other, ready to run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    ops: Arc<[Op]>,
}

impl Chain {
    /// The chain of these upcasters, in their order.
    pub fn new<'a>(upcasters: impl IntoIterator<Item = &'a Upcaster>) -> Chain {
        Chain { ops: upcasters.into_iter().flat_map(|upcaster| &upcaster.steps).map(Op::new).collect() }
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.ops.is_empty()
    }

    /// Lifts JSON. What no step touches keeps its bytes. Data that is no JSON object, and so has no fields, stays as it is;
    /// so does data that would grow over a bound.
    pub fn lift(&self, json: &Bytes) -> Bytes {
        self.try_lift(json).unwrap_or_else(|| json.clone())
    }

    /// The same; `None` where the data would grow over a bound.
    pub(crate) fn try_lift(&self, json: &Bytes) -> Option<Bytes> {
        let start = scan::skip_space(json, 0);
        if self.is_identity() || json.get(start) != Some(&b'{') {
            return Some(json.clone());
        }
        let mut root = Node::Raw(json[start..].trim_ascii_end());
        let mut run = Run::default();
        for op in self.ops.iter() {
            op.run(&mut root, &mut run);
            if run.is_over(&root) {
                return None;
            }
        }
        if root.is_untouched() {
            return Some(json.clone());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.shrink_to(SCRATCH_BYTES_KEPT);
            root.write(scratch);
            Some(Bytes::copy_from_slice(scratch))
        })
    }
}

/// How much was added so far.
#[derive(Default)]
struct Run {
    grown: usize,
    /// How many items were looked at.
    items: usize,
    /// By how much it may have become deeper since that was last looked at.
    deeper: usize,
    has_nested: bool,
}

impl Run {
    /// Whether one more value of this size is too much.
    fn grows(&mut self, bytes: usize) -> bool {
        self.grown = self.grown.saturating_add(bytes);
        self.grown > GROWTH_BYTES_MAX
    }

    fn is_over(&mut self, root: &Node<'_>) -> bool {
        if self.grown > GROWTH_BYTES_MAX || self.items > ITEMS_MAX {
            return true;
        }
        if std::mem::take(&mut self.has_nested) {
            self.deeper += super::POINTER_SEGMENTS_MAX;
            if self.deeper > DEPTH_MAX {
                self.deeper = root.depth();
            }
        }
        self.deeper > DEPTH_MAX
    }
}

/// A step, taken apart into the lists that it is run over and what it does in each item.
#[derive(Clone, Debug)]
struct Op {
    lists: Box<[Segment]>,
    act: Act,
}

type Path = Box<[Segment]>;

#[derive(Clone, Debug)]
enum Act {
    Move {
        from: Path,
        path: Path,
    },
    Copy {
        from: Path,
        path: Path,
    },
    Default {
        path: Path,
        value: Box<[u8]>,
    },
    Constant {
        path: Path,
        value: Box<[u8]>,
    },
    Split {
        from: Path,
        separator: Box<str>,
        paths: Box<[Path]>,
    },
    Map {
        path: Path,
        table: Table,
        otherwise: Option<Box<[u8]>>,
    },
    Cast {
        path: Path,
        to: CastTo,
    },
    Drop {
        path: Path,
    },
    /// A `drop` whose pointer ends with `*`.
    Clear,
}

/// A pointer behind so many segments.
fn path(pointer: &Pointer, after: usize) -> Path {
    pointer.0[after..].iter().map(|segment| Segment::new(segment)).collect()
}

impl Op {
    fn new(step: &Step) -> Op {
        let first = step.first();
        let mut lists = first.list_segments();
        let act = match step {
            Step::Move { from, path: to } => Act::Move { from: path(from, lists), path: path(to, lists) },
            Step::Copy { from, path: to } => Act::Copy { from: path(from, lists), path: path(to, lists) },
            Step::Default { path: to, value } => Act::Default { path: path(to, lists), value: value::written(value) },
            Step::Constant { path: to, value } => Act::Constant { path: path(to, lists), value: value::written(value) },
            Step::Split { from, separator, paths } => Act::Split {
                from: path(from, lists),
                separator: separator.as_str().into(),
                paths: paths.iter().map(|to| path(to, lists)).collect(),
            },
            Step::Map { path: at, values, otherwise } => Act::Map {
                path: path(at, lists),
                table: Table::new(values),
                otherwise: otherwise.as_ref().map(value::written),
            },
            Step::Cast { path: at, to } => Act::Cast { path: path(at, lists), to: *to },
            Step::Drop { path: at } if lists == at.0.len() && lists > 0 => {
                lists -= 1;
                Act::Clear
            }
            Step::Drop { path: at } => Act::Drop { path: path(at, lists) },
        };
        Op { lists: first.0[..lists].iter().map(|segment| Segment::new(segment)).collect(), act }
    }

    fn run<'a>(&'a self, root: &mut Node<'a>, run: &mut Run) {
        if self.lists.is_empty() {
            self.act.run(root, run);
        } else {
            root.each(&self.lists, &mut |item| {
                run.items += 1;
                run.grown <= GROWTH_BYTES_MAX && run.items <= ITEMS_MAX && self.act.run(item, run)
            });
        }
    }
}

impl Act {
    /// Whether it changed anything.
    fn run<'a>(&'a self, node: &mut Node<'a>, run: &mut Run) -> bool {
        match self {
            Act::Move { from, path } => take_to(node, from, path, run),
            Act::Copy { from, path } => {
                let Some(value) = node.find(from) else { return false };
                if run.grows(value.size()) {
                    return false;
                }
                let value = value.copied();
                put(node, path, value, run)
            }
            Act::Default { path, value } => {
                let (value, grown) = (Node::Raw(value), run.grown);
                let is_set = may_put(path, &value, run) && node.set_missing(path, value);
                if !is_set && run.grown <= GROWTH_BYTES_MAX {
                    run.grown = grown;
                }
                is_set
            }
            Act::Constant { path, value } => put(node, path, Node::Raw(value), run),
            Act::Split { from, separator, paths } => split(node, from, separator, paths, run),
            Act::Map { path, table, otherwise } => node.replace(path, &mut |value| {
                let made = table.get(value).or(otherwise.as_deref())?;
                (!run.grows(made.len())).then_some(Node::Raw(made))
            }),
            Act::Cast { path, to } => node.replace(path, &mut |value| {
                let made = value::cast(value.scalar()?, *to)?;
                (!run.grows(made.len())).then_some(Node::Made(made))
            }),
            Act::Drop { path } => node.take(path).is_some(),
            Act::Clear => node.clear(),
        }
    }
}

fn put<'a>(node: &mut Node<'a>, path: &'a [Segment], value: Node<'a>, run: &mut Run) -> bool {
    may_put(path, &value, run) && node.set(path, value).is_ok()
}

fn may_put(path: &[Segment], value: &Node<'_>, run: &mut Run) -> bool {
    // What is made on the way counts too.
    let names = path.iter().map(Segment::len).sum::<usize>();
    run.has_nested |= value.is_container();
    !run.grows(names + value.size())
}

fn take_to<'a>(node: &mut Node<'a>, from: &[Segment], path: &'a [Segment], run: &mut Run) -> bool {
    // Where an item leaves a list, others move up, and only then it shows what the path leads to.
    let is_of_list = from.last().is_some_and(Segment::is_index);
    let is_sure = path.len() == 1 && node.is_object();
    if !is_of_list && !is_sure && (node.find(from).is_none() || !node.can_set(path)) {
        return false;
    }
    let Some(mut taken) = node.take(from) else { return false };
    let value = taken.value();
    run.has_nested |= value.is_container();
    run.grows(path.iter().map(Segment::len).sum());
    if let Err(value) = node.set(path, value) {
        taken.refill(value);
        node.put_back(from, taken);
    }
    true
}

fn split<'a>(node: &mut Node<'a>, from: &[Segment], separator: &str, paths: &'a [Path], run: &mut Run) -> bool {
    let Some(parts) = node.find(from).and_then(Node::scalar).and_then(scan::decoded) else { return false };
    let parts: Vec<Box<[u8]>> = parts.splitn(paths.len(), separator).map(scan::text).collect();
    let put_one = |changed, (part, path): (Box<[u8]>, &'a Path)| put(node, path, Node::Made(part), run) | changed;
    parts.into_iter().zip(paths).fold(false, put_one)
}
