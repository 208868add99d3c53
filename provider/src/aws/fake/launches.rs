//! EC2: instances that calls launch and terminate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Answer, State, refuse};
use crate::aws::{InstanceInfo, LaunchedInfo, MetadataOptions, NewInstance};

/// What every image calls its root volume.
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

/// An image with a large root volume, and its size in GiB.
pub(crate) const LARGE_IMAGE: (&str, i64) = ("ami-030", 30);

/// The start of a volume's id; the rest is that of its instance.
pub(super) const VOLUME: &str = "vol-";

/// What an instance was launched with.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The request, with its tags as they are now.
    pub new: NewInstance,
    /// When it runs.
    pub running_at: Duration,
    /// How it gives its metadata now.
    pub metadata: MetadataOptions,
}

/// The parameters that name the newest images of Amazon Linux.
pub(super) fn images() -> BTreeMap<String, String> {
    let name = |architecture| format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}");
    BTreeMap::from([(name("x86_64"), "ami-0a".to_owned()), (name("arm64"), "ami-0b".to_owned())])
}

impl State {
    /// Pending instances come to run.
    pub(super) fn advance_launches(&mut self) {
        for (id, launch) in &self.launches {
            if let Some(instance) = self.instances.get_mut(id)
                && instance.state == "pending"
                && launch.running_at <= self.clock
            {
                instance.state = "running".to_owned();
            }
        }
    }

    /// Whether an instance is there and not terminated.
    pub(super) fn lives(&self, id: &str) -> bool {
        self.instances.get(id).is_some_and(|instance| instance.state != "terminated")
    }

    pub(super) fn launched(&self, key: &str, value: &str) -> Vec<LaunchedInfo> {
        let tagged =
            self.launches.iter().filter(|(_, launch)| launch.new.tags.get(key).is_some_and(|tag| tag == value));
        tagged.filter_map(|(id, launch)| self.launched_info(id, launch)).collect()
    }

    pub(super) fn launched_by_id(&self, ids: &BTreeSet<String>) -> Vec<LaunchedInfo> {
        ids.iter().filter_map(|id| self.launched_info(id, self.launches.get(id)?)).collect()
    }

    fn launched_info(&self, id: &str, launch: &Launch) -> Option<LaunchedInfo> {
        let new = &launch.new;
        Some(LaunchedInfo {
            instance: self.instances.get(id)?.clone(),
            image_id: new.image_id.clone(),
            instance_type: new.instance_type.clone(),
            key_name: new.key_name.clone(),
            instance_profile: new.instance_profile.clone(),
            metadata: launch.metadata,
            root_volume: self.lives(id).then(|| id.replacen("i-", VOLUME, 1)),
            tags: new.tags.clone(),
        })
    }

    /// The same token answers with the instance of the first call, whatever has become of it.
    pub(super) fn run_instance(&mut self, new: &NewInstance) -> Answer<String> {
        if let Some((id, _)) = self.launches.iter().find(|(_, launch)| launch.new.client_token == new.client_token) {
            return Ok(id.clone());
        }
        let Some(subnet) = self.subnets.get(&new.subnet_id).cloned() else {
            return refuse("InvalidSubnetID.NotFound", &new.subnet_id);
        };
        if !new.image_id.starts_with("ami-") {
            return refuse("InvalidAMIID.NotFound", &new.image_id);
        }
        if new.user_data.len() > 16 * 1024 {
            return refuse("InvalidParameterValue", "user data is limited to 16384 bytes");
        }
        if new.root_device != ROOT_DEVICE {
            return refuse("InvalidBlockDeviceMapping", &new.root_device);
        }
        let (large, size) = LARGE_IMAGE;
        if new.image_id == large && new.root_volume_size < size {
            let message = format!("Volume of size {}GB is smaller than snapshot", new.root_volume_size);
            return refuse("InvalidBlockDeviceMapping", message);
        }
        for group in &new.security_groups {
            let known = self.security_groups.get(group);
            if known.is_none_or(|known| known.vpc_id != subnet.vpc_id || known.visible_from > self.clock) {
                return refuse("InvalidGroup.NotFound", group);
            }
        }
        let number = self.next_id();
        let id = format!("i-{number:017x}");
        let instance = InstanceInfo {
            id: id.clone(),
            state: "pending".to_owned(),
            vpc_id: subnet.vpc_id,
            subnet_id: new.subnet_id.clone(),
            availability_zone: subnet.availability_zone,
            private_ip: Some(format!("10.0.200.{}", number % 250)),
            public_ip: None,
            security_groups: new.security_groups.clone(),
        };
        let running_at = self.clock + self.booting;
        self.instances.insert(id.clone(), instance);
        self.launches.insert(id.clone(), Launch { new: new.clone(), running_at, metadata: new.metadata });
        Ok(id)
    }

    pub(super) fn modify_metadata_options(&mut self, id: &str, options: MetadataOptions) -> Answer<()> {
        match self.launches.get_mut(id) {
            Some(launch) => {
                launch.metadata = options;
                Ok(())
            }
            None => refuse("InvalidInstanceID.NotFound", id),
        }
    }

    /// It stays to be described, without an address and its security groups.
    pub(super) fn terminate_instance(&mut self, id: &str) -> Answer<()> {
        match self.instances.get_mut(id) {
            Some(instance) => {
                instance.state = "terminated".to_owned();
                instance.private_ip = None;
                instance.security_groups.clear();
                Ok(())
            }
            None => refuse("InvalidInstanceID.NotFound", id),
        }
    }

    /// One line for each instance that was launched and lives.
    pub(super) fn launch_lines(&self, group: impl Fn(&str) -> String) -> Vec<String> {
        let living = self.launches.iter().filter_map(|(id, launch)| {
            let instance = self.instances.get(id).filter(|_| self.lives(id))?;
            let groups: Vec<String> = instance.security_groups.iter().map(|id| group(id)).collect();
            let new = &launch.new;
            Some(format!(
                "instance {}: {} {} {} {} key {:?} profile {:?} groups {groups:?} volume {} tags {:?} data {:?} metadata {:?} tags {:?}",
                self.launch_name(id),
                instance.state,
                new.image_id,
                new.instance_type,
                new.subnet_id,
                new.key_name,
                new.instance_profile,
                new.root_volume_size,
                new.volume_tags,
                new.user_data,
                launch.metadata,
                new.tags,
            ))
        });
        living.collect()
    }

    /// What an instance is called, for those that were launched; its id for the others.
    pub(super) fn launch_name(&self, id: &str) -> String {
        let name = self.launches.get(id).and_then(|launch| launch.new.tags.get("Name"));
        name.cloned().unwrap_or_else(|| id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeAws;
    use super::super::fixtures::{set, tags};
    use super::*;
    use crate::aws::Aws;

    fn node(token: &str) -> NewInstance {
        NewInstance {
            client_token: token.to_owned(),
            image_id: "ami-0a".to_owned(),
            instance_type: "t3.micro".to_owned(),
            subnet_id: "subnet-a".to_owned(),
            security_groups: set(&["sg-hosts"]),
            key_name: None,
            instance_profile: None,
            root_device: ROOT_DEVICE.to_owned(),
            root_volume_size: 8,
            metadata: MetadataOptions { enabled: true, requires_session: true, hop_limit: 1 },
            user_data: String::new(),
            tags: tags("us"),
            volume_tags: tags("us"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_token_launches_once_even_when_the_instance_is_gone() {
        let aws = FakeAws::new();
        let id = aws.run_instance(&node("one")).await.unwrap();
        assert_eq!(aws.run_instance(&node("one")).await.unwrap(), id);
        aws.terminate_instance(&id).await.unwrap();
        assert_eq!(aws.run_instance(&node("one")).await.unwrap(), id);
        assert_ne!(aws.run_instance(&node("two")).await.unwrap(), id);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_pending_first_and_runs_then() {
        let aws = FakeAws::new();
        aws.run_instance(&node("one")).await.unwrap();
        let state = || async { aws.launched("owner", "us").await.unwrap().remove(0).instance.state };
        assert_eq!(state().await, "pending");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(state().await, "running");
    }
}
