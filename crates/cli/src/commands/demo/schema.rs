//! The chapter on schemas: what an event may look like, an event that is not like that, and a field that is added.

use pacioli_api::problem::Problem;
use pacioli_api::schemas::{Proposed, Registration};
use pacioli_core::schemas::SchemaFormat;
use pacioli_core::{AppendOutcome, EventType, ExpectedVersion};

use super::{Story, append_text, unexpected};
use crate::commands::schema::registered_line;
use crate::failure::Failure;
use crate::target::Target;

const FILE: &str = "money-deposited.json";
const FIRST: &str = r#"{"type":"object","required":["amount"],"properties":{"amount":{"type":"integer"}}}"#;
const WITH_NOTE: &str =
    r#"{"type":"object","required":["amount"],"properties":{"amount":{"type":"integer"},"note":{"type":"string"}}}"#;

impl Story {
    /// Gives the deposits a schema.
    pub(super) async fn schema(&mut self, target: &Target) -> Result<(), Failure> {
        self.tell.step("A schema says what an event may look like. The rest is refused; a field may be added.")?;
        self.register(target, FIRST).await?;
        self.tell.command(append_text("MoneyDeposited", r#"{"amount":"fifty"}"#, "").trim_end())?;
        let wrong = self.request("MoneyDeposited", r#"{"amount":"fifty"}"#, ExpectedVersion::Any);
        match self.store.append(wrong).await? {
            AppendOutcome::Refused(refusal) => {
                self.tell.error(Problem::from(&refusal).in_one_stream(false).detail())?;
            }
            other => return Err(unexpected("a refusal", &other)),
        }
        self.register(target, WITH_NOTE).await?;
        self.tell.gap()
    }

    async fn register(&mut self, target: &Target, text: &str) -> Result<(), Failure> {
        let Target::Server(client) = target else { return Ok(()) };
        self.tell.command(&format!("cat {FILE}"))?;
        self.tell.answer(text)?;
        self.tell.command(&format!("pacioli schema register MoneyDeposited {FILE}"))?;
        let event_type = EventType::from_storage("MoneyDeposited");
        let registration = Registration::of(Proposed::new(event_type, SchemaFormat::Json, text));
        let registered = client.schemas().register(&registration).await?;
        self.tell.answer(&registered_line(&registered, "is registered as"))?;
        for change in registered.changes {
            self.tell.answer(&format!("  compatible: {}", change.sentence))?;
        }
        Ok(())
    }
}
