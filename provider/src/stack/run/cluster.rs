//! Instances and caches: bringing them into being, and waiting for them.

use uuid::Uuid;

use super::create::may_exist;
use super::{Run, StepError};
use crate::aws::{AwsError, CacheSettings, ErrorClass, NewInstance, NewReplicationGroup, ReplicationGroupInfo};
use crate::stack::cluster::{CREATE_FAILED, Cache, CacheFacts, CacheSubnetGroup, Instance, InstanceFacts};
use crate::stack::effect::Output;
use crate::stack::ownership::PROVISIONING;
use crate::stack::{Node, NodeId};

impl Run<'_> {
    pub(super) async fn create_cache_subnet_group(&self, group: &CacheSubnetGroup) -> Result<Output, StepError> {
        let tags = self.tags_of(Node::CacheSubnetGroup(group.clone()));
        match self.aws().create_cache_subnet_group(&group.name, &group.subnet_ids, &tags).await {
            Ok(arn) => Ok(Output::Created(arn, tags)),
            Err(error) if may_exist(&error) => match self.aws().cache_subnet_group(&group.name).await? {
                Some(found) => {
                    let found_tags = self.aws().cache_tags(&found.arn).await?;
                    self.ours(Some((found.arn, found_tags)), error)
                }
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The token goes from the parameter to ElastiCache and nowhere else.
    pub(super) async fn create_cache(&self, cache: &Cache) -> Result<Output, StepError> {
        let auth_token = match &cache.auth_token_parameter {
            Some(name) => Some(self.aws().parameter(name).await?.ok_or_else(|| StepError::NoParameter(name.clone()))?),
            None => None,
        };
        if let Some(token) = &auth_token {
            tfplugin::log::add_secret(token);
        }
        let tags = self.tags_of(Node::Cache(cache.clone()));
        let new = NewReplicationGroup {
            id: cache.id.clone(),
            description: cache.description.clone(),
            settings: cache.settings.clone(),
            transit_encryption: cache.transit_encryption.is_on(),
            at_rest_encryption: cache.at_rest_encryption,
            subnet_group: cache.subnet_group.clone(),
            security_groups: self.ids(&cache.security_groups)?,
            tags: tags.clone(),
        };
        match self.aws().create_replication_group(&new, auth_token.as_deref()).await {
            Ok(arn) => Ok(Output::Created(arn, tags)),
            Err(error) if may_exist(&error) => self.find_cache(&cache.id, error).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The cache that a create which failed with `error` may have made. AWS may not tell its tags before it is
    /// available.
    async fn find_cache(&self, id: &str, error: AwsError) -> Result<Output, StepError> {
        let Some(found) = self.aws().replication_group(id).await? else { return Err(error.into()) };
        let tags = self.aws().cache_tags(&found.arn).await?;
        if tags.is_empty() && found.status != "available" {
            return Err(StepError::Waiting(format!("AWS does not tell yet whose cache {id} is")));
        }
        self.ours(Some((found.arn, tags)), error)
    }

    pub(super) async fn set_cache(&self, settings: &CacheSettings) -> Result<(), StepError> {
        let id = self.cache_id()?;
        let there = self.observed.cache(&self.step.node).ok_or_else(|| StepError::Unresolved(id.to_owned()))?;
        let answered = self.aws().modify_replication_group(id, &there.settings, settings).await;
        let is_set = |cache: &ReplicationGroupInfo| {
            let replica_count = cache.settings.replica_count;
            cache.settings == CacheSettings { replica_count, ..settings.clone() }
        };
        self.unless_done(answered, is_set).await
    }

    /// What AWS answered to a change of the cache, unless it is as it was to be: of a change that changes nothing AWS says
    /// the same as of one that is wrong, and so a repeat is told of a call that has taken effect without an answer.
    pub(super) async fn unless_done(
        &self,
        answered: Result<(), AwsError>,
        is_done: impl Fn(&ReplicationGroupInfo) -> bool + Send,
    ) -> Result<(), StepError> {
        let Err(error) = answered else { return Ok(()) };
        if error.code == "InvalidParameterCombination" {
            let id = self.cache_id()?;
            let found = self.aws().replication_groups(id).await?;
            if found.iter().any(|cache| cache.id == id && is_done(cache)) {
                return Ok(());
            }
        }
        Err(error.into())
    }

    pub(super) async fn set_replicas(&self, before: i64, count: i64) -> Result<(), StepError> {
        match self.aws().set_replica_count(self.cache_id()?, before, count).await {
            // What a repeat is told of a call that has taken effect without an answer.
            Err(error) if error.code == "NoOperationFault" => Ok(()),
            answered => Ok(answered?),
        }
    }

    pub(super) async fn delete_cache(&self) -> Result<(), StepError> {
        let id = self.cache_id()?;
        // One that is on its way out refuses to be deleted once more.
        if self.aws().replication_group(id).await?.is_none_or(|cache| cache.status == "deleting") {
            return Ok(());
        }
        self.deleted(self.aws().delete_replication_group(id).await)
    }

    pub(super) async fn look_for_cache(&self) -> Result<Output, StepError> {
        let id = self.cache_id()?;
        match self.aws().replication_group(id).await? {
            Some(info) if info.status == "available" => Ok(Output::Cache(CacheFacts::from(&info))),
            Some(info) if info.status == CREATE_FAILED => {
                Err(StepError::Broken(format!("ElastiCache reports {CREATE_FAILED}.")))
            }
            Some(info) => Err(StepError::Waiting(format!("ElastiCache says that {id} is {}", info.status))),
            None if self.fresh.contains(&self.step.node) => {
                Err(StepError::Unseen(format!("ElastiCache does not show {id}")))
            }
            None => Err(StepError::Broken("It was deleted meanwhile.".to_owned())),
        }
    }

    pub(super) async fn look_for_deleted_cache(&self) -> Result<(), StepError> {
        let id = self.cache_id()?;
        match self.aws().replication_group(id).await? {
            None => Ok(()),
            Some(info) => Err(StepError::Waiting(format!("ElastiCache says that {id} is {}", info.status))),
        }
    }

    pub(super) fn cache_id(&self) -> Result<&str, StepError> {
        match &self.step.node {
            NodeId::Cache(id) => Ok(id),
            other => Err(StepError::Unresolved(other.to_string())),
        }
    }

    /// Launches an instance. A call without an answer is made once more with the same token, which launches nothing
    /// more where the first one did.
    pub(super) async fn launch(&self, instance: &Instance) -> Result<Output, StepError> {
        let unresolved = || StepError::Unresolved(self.step.node.to_string());
        let start = instance.start.as_ref().ok_or_else(unresolved)?;
        let user_data = match &start.cache {
            Some(cache) => {
                let endpoint = self.observed.caches.get(cache).and_then(|facts| facts.endpoint.as_ref());
                let (host, _) = endpoint.ok_or_else(|| StepError::Unresolved(format!("the endpoint of {cache}")))?;
                start.user_data.replace(start.cache_host, host)
            }
            None => start.user_data.clone(),
        };
        let root_device = self.aws().root_device(&instance.image_id).await?;
        let tags = self.tags_of(Node::Instance(instance.clone()));
        let mut volume_tags = tags.clone();
        volume_tags.remove(PROVISIONING);
        let new = NewInstance {
            client_token: Uuid::new_v4().to_string(),
            image_id: instance.image_id.clone(),
            instance_type: instance.instance_type.clone(),
            subnet_id: instance.subnet_id.clone(),
            security_groups: self.ids(&instance.security_groups)?,
            key_name: instance.key_name.clone(),
            instance_profile: instance.instance_profile.clone(),
            root_device,
            root_volume_size: start.root_volume_size,
            metadata: instance.metadata,
            user_data,
            tags: tags.clone(),
            volume_tags,
        };
        let id = match self.aws().run_instance(&new).await {
            Err(error) if error.class() == ErrorClass::NoAnswer => self.aws().run_instance(&new).await?,
            other => other?,
        };
        Ok(Output::Created(id, tags))
    }

    pub(super) async fn look_for_running(&self) -> Result<Output, StepError> {
        let id = self.id()?.to_owned();
        let found = self.aws().launched_by_id(&[id.clone()].into()).await?.into_iter().next();
        let Some(info) = found else {
            return Err(StepError::Unseen(format!("EC2 does not show {id}")));
        };
        match info.instance.state.as_str() {
            "running" => Ok(Output::Instance(InstanceFacts::from(&info))),
            "pending" => Err(StepError::Waiting(format!("{id} is still starting"))),
            state => Err(StepError::Broken(format!(
                "The instance {id} is {state} and does not start. EC2 gives the reason in its state transition reason."
            ))),
        }
    }

    /// What never came to be has nothing to terminate.
    pub(super) async fn terminate(&self) -> Result<(), StepError> {
        match self.observed.id(&self.step.node) {
            Some(id) => self.deleted(self.aws().terminate_instance(id).await),
            None => Ok(()),
        }
    }
}
