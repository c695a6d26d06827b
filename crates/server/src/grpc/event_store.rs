//! `pacioli.v1.EventStore`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use pacioli_api::generated::v1::event_store_server::EventStore as Service;
use pacioli_api::generated::v1::{
    AcquireLeaseRequest, AcquireLeaseResponse, AppendRequest, AppendResponse, AppendStreamRequest,
    AppendStreamResponse, GetHeadRequest, GetHeadResponse, GetStreamRequest, GetStreamResponse, GetTrackingRequest,
    GetTrackingResponse, ListStreamsRequest, ListStreamsResponse, ReadLogRequest, ReadLogResponse, ReadStreamRequest,
    ReadStreamResponse, ReleaseLeaseRequest, ReleaseLeaseResponse, SubscribeRequest, SubscribeResponse,
};
use pacioli_api::wire::{self, read, status};
use pacioli_core::{Delivery, EventStore, InvalidAppend, ReadError, ReadLog, ReadStream, Version};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::ahead::{Messages, read_ahead};
use super::pages::{self, Budget};
use super::{Services, append};

/// The store behind the service.
pub(super) struct EventStoreService {
    services: Arc<Services>,
}

impl EventStoreService {
    pub(super) fn new(services: Arc<Services>) -> EventStoreService {
        EventStoreService { services }
    }

    fn store(&self) -> &dyn EventStore {
        &*self.services.store
    }
}

fn invalid(error: InvalidAppend) -> Status {
    status::invalid(&error)
}

fn failed(error: ReadError) -> Status {
    status::read_status(&error)
}

#[tonic::async_trait]
impl Service for EventStoreService {
    type AppendStreamStream = Messages<AppendStreamResponse>;
    type ReadStreamStream = Messages<ReadStreamResponse>;
    type ReadLogStream = Messages<ReadLogResponse>;
    type SubscribeStream = Messages<SubscribeResponse>;

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        append::append(&self.services, request.into_inner()).await.map(Response::new)
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Ok(Response::new(append::append_stream(Arc::clone(&self.services), request.into_inner())))
    }

    async fn read_stream(
        &self,
        request: Request<ReadStreamRequest>,
    ) -> Result<Response<Self::ReadStreamStream>, Status> {
        let request = request.into_inner();
        let fields = read::fields(request.fields).map_err(invalid)?;
        let store = self.services.view(request.shape, request.reader)?;
        let read = ReadStream {
            stream: read::stream_name(request.stream).map_err(invalid)?,
            from: request.from.map(Version),
            direction: read::direction(request.direction).map_err(invalid)?,
            limit: 0,
            payload: fields.payload(),
        };
        let budget = Budget::new(request.limit, request.pages);
        let messages = pages::stream(store, read, fields, budget);
        Ok(Response::new(read_ahead(Arc::clone(&self.services), messages)))
    }

    async fn read_log(&self, request: Request<ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let request = request.into_inner();
        let fields = read::fields(request.fields).map_err(invalid)?;
        let view = self.services.view(request.shape, request.reader)?;
        let read = ReadLog {
            after: read::after(request.after).map_err(invalid)?,
            filter: read::filter(request.filter, self.services.limits.query_terms_max).map_err(invalid)?,
            limit: 0,
            payload: fields.payload(),
        };
        let budget = Budget::new(request.limit, request.pages);
        let messages = pages::log(view, read, fields, budget);
        Ok(Response::new(read_ahead(Arc::clone(&self.services), messages)))
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let terms_max = self.services.limits.query_terms_max;
        let mut request = request.into_inner();
        let store = self.services.view(request.shape.take(), std::mem::take(&mut request.reader))?;
        let (subscribe, fields) = read::subscribe(request, terms_max).map_err(invalid)?;
        let deliveries = store.subscribe(subscribe).await.map_err(failed)?;
        let messages = deliveries.map(move |delivery| {
            let delivery = match delivery.map_err(failed)? {
                Delivery::Events { events, from, checkpoint } => {
                    Delivery::Events { events: read::select(events, &fields), from, checkpoint }
                }
                other => other,
            };
            Ok(read::delivery_to_wire(delivery))
        });
        let mut response = Response::new(read_ahead(Arc::clone(&self.services), messages));
        response.metadata_mut().insert(wire::BUS, MetadataValue::from_static(self.store().bus().word()));
        Ok(response)
    }

    async fn get_stream(&self, request: Request<GetStreamRequest>) -> Result<Response<GetStreamResponse>, Status> {
        let stream = read::stream_name(request.into_inner().stream).map_err(invalid)?;
        let info = self.store().stream(&stream).await.map_err(failed)?;
        let info = info.ok_or_else(|| failed(ReadError::StreamNotFound { stream }))?;
        Ok(Response::new(GetStreamResponse { stream: Some(read::stream_info_to_wire(&info)) }))
    }

    async fn list_streams(
        &self,
        request: Request<ListStreamsRequest>,
    ) -> Result<Response<ListStreamsResponse>, Status> {
        let list = read::list_streams(request.into_inner()).map_err(invalid)?;
        let page = self.store().list_streams(list).await.map_err(failed)?;
        Ok(Response::new(read::streams_page_to_wire(&page)))
    }

    async fn get_head(&self, _request: Request<GetHeadRequest>) -> Result<Response<GetHeadResponse>, Status> {
        let head = self.store().head().await.map_err(failed)?;
        Ok(Response::new(GetHeadResponse { head: head.to_string() }))
    }

    async fn get_tracking(
        &self,
        request: Request<GetTrackingRequest>,
    ) -> Result<Response<GetTrackingResponse>, Status> {
        let checkpoint = self.store().tracking(&request.into_inner().name).await.map_err(failed)?;
        Ok(Response::new(GetTrackingResponse { checkpoint: checkpoint.map(|checkpoint| checkpoint.to_string()) }))
    }

    async fn acquire_lease(
        &self,
        request: Request<AcquireLeaseRequest>,
    ) -> Result<Response<AcquireLeaseResponse>, Status> {
        let AcquireLeaseRequest { name, owner, time_to_live_micros } = request.into_inner();
        let time_to_live = Duration::from_micros(time_to_live_micros);
        let outcome = self.store().acquire_lease(&name, &owner, time_to_live).await.map_err(failed)?;
        Ok(Response::new(read::lease_outcome_to_wire(&outcome)))
    }

    async fn release_lease(
        &self,
        request: Request<ReleaseLeaseRequest>,
    ) -> Result<Response<ReleaseLeaseResponse>, Status> {
        let lease = request.into_inner().lease;
        let lease = lease.ok_or_else(|| invalid(InvalidAppend::new("lease", "is missing")))?;
        let released = self.store().release_lease(&read::lease_from_wire(lease)).await.map_err(failed)?;
        Ok(Response::new(ReleaseLeaseResponse { released }))
    }
}
