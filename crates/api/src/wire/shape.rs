//! In which shape a reader wants events, and under which name it reads.

use pacioli_core::InvalidAppend;
use pacioli_core::schemas::{OnNewer, Shape, Understanding};

use super::invalid_name;
use crate::generated::v1;

/// Reads a shape; nothing said is the newest. `terms_max` bounds what is stated.
///
/// # Errors
/// Names the first statement that is none.
pub fn shape(shape: Option<v1::Shape>, terms_max: usize) -> Result<Shape, InvalidAppend> {
    let Some(v1::Shape { raw, understands, on_newer }) = shape else { return Ok(Shape::default()) };
    if understands.len() > terms_max {
        let problem = format!("are {}; at most {terms_max} are allowed", understands.len());
        return Err(InvalidAppend { over_limit: true, ..InvalidAppend::new("shape.understands", problem) });
    }
    let on_newer = match v1::shape::OnNewer::try_from(on_newer) {
        Ok(v1::shape::OnNewer::Unspecified | v1::shape::OnNewer::Stop) => OnNewer::Stop,
        Ok(v1::shape::OnNewer::Skip) => OnNewer::Skip,
        Err(_) => return Err(InvalidAppend::new("shape.on_newer", "is none that this server knows")),
    };
    let mut stated: Vec<Understanding> = Vec::with_capacity(understands.len());
    for (at, one) in understands.into_iter().enumerate() {
        let field = |name: &str| format!("shape.understands[{at}].{name}");
        let event_type =
            pacioli_core::EventType::new(one.r#type).map_err(|error| invalid_name(field("type"))(error))?;
        if stated.iter().any(|known| known.event_type == event_type) {
            return Err(InvalidAppend::new(field("type"), "is stated twice; give one range for it"));
        }
        let versions = one.versions.parse();
        let versions = versions.map_err(|error: pacioli_core::schemas::InvalidSemver| {
            InvalidAppend::new(field("versions"), error.to_string())
        })?;
        stated.push(Understanding { event_type, versions });
    }
    Ok(Shape { raw, understands: stated, on_newer })
}

/// A shape on the wire; the newest is absent.
pub fn shape_to_wire(shape: &Shape) -> Option<v1::Shape> {
    (!shape.is_default()).then(|| v1::Shape {
        raw: shape.raw,
        understands: understands_to_wire(&shape.understands),
        on_newer: match shape.on_newer {
            OnNewer::Stop => v1::shape::OnNewer::Stop.into(),
            OnNewer::Skip => v1::shape::OnNewer::Skip.into(),
        },
    })
}

/// What is understood, on the wire.
pub(super) fn understands_to_wire(understands: &[Understanding]) -> Vec<v1::Understanding> {
    let one = |one: &Understanding| v1::Understanding {
        r#type: one.event_type.to_string(),
        versions: one.versions.to_string(),
    };
    understands.iter().map(one).collect()
}
