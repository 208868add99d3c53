//! Security groups, subnets, routes and what is in them.

use std::collections::BTreeSet;
use std::fmt;

use super::Tags;

/// Which way a security group rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// Into the group's members.
    Ingress,
    /// Out of them.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The other side of a security group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// An IPv4 or IPv6 block, canonical.
    Cidr(String),
    /// A managed prefix list.
    PrefixList(String),
    /// The members of a security group.
    Group(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(text) | Self::PrefixList(text) | Self::Group(text) => f.write_str(text),
        }
    }
}

/// A security group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleSettings {
    /// Which way it looks.
    pub direction: Direction,
    /// `tcp`, or `-1` for all.
    pub protocol: String,
    /// The first port; -1 for all.
    pub from_port: i64,
    /// The last port; -1 for all.
    pub to_port: i64,
    /// The other side.
    pub peer: Peer,
    /// Why it is there; empty when it says nothing.
    pub description: String,
}

/// How security groups are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecurityGroupKey {
    /// By id.
    Ids(BTreeSet<String>),
    /// By name, unique in a VPC.
    Name {
        /// The VPC; every one when there is none.
        vpc_id: Option<String>,
        /// The group's name.
        name: String,
    },
    /// By the value of a tag.
    Tag {
        /// The tag's key.
        key: String,
        /// The tag's value.
        value: String,
    },
    /// Those whose rules name this group.
    Naming(String),
}

/// A security group as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecurityGroupInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its rules, one for each peer.
    pub rules: BTreeSet<RuleSettings>,
    /// Its tags.
    pub tags: Tags,
}

/// A security group to create. AWS gives it one rule of its own: all egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSecurityGroup {
    /// Its name.
    pub name: String,
    /// Its description; AWS never lets it change.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its tags.
    pub tags: Tags,
}

/// A network interface that uses a security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkInterfaceInfo {
    /// Its id.
    pub id: String,
    /// What it is for, in the words of whoever made it.
    pub description: String,
}

/// A subnet as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubnetInfo {
    /// Its id.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its availability zone, by name.
    pub availability_zone: String,
    /// Addresses not in use.
    pub free_addresses: i64,
    /// Whether it has an IPv6 block.
    pub has_ipv6: bool,
    /// Whether instances get public IPv4 addresses in it.
    pub gives_public_addresses: bool,
}

/// A route of a subnet's route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteInfo {
    /// The destination block.
    pub destination: String,
    /// The target: `igw-...`, `nat-...`, `local`, ...
    pub target: String,
}

/// A route table as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteTableInfo {
    /// The subnets it is explicitly associated with.
    pub subnet_ids: BTreeSet<String>,
    /// Whether it serves the VPC's subnets that have none of their own.
    pub main: bool,
    /// Its active routes.
    pub routes: Vec<RouteInfo>,
}

impl RouteTableInfo {
    /// The table of a subnet: its own, else the VPC's main one.
    pub(crate) fn of<'a>(subnet_id: &str, tables: &'a [Self]) -> Option<&'a Self> {
        let own = tables.iter().find(|table| table.subnet_ids.contains(subnet_id));
        own.or_else(|| tables.iter().find(|table| table.main))
    }

    /// Whether it has a route to an internet gateway.
    pub(crate) fn is_public(&self) -> bool {
        self.routes.iter().any(|route| route.target.starts_with("igw-"))
    }

    /// Whether answers to clients on the internet may find their way: by an internet gateway, or by default through what
    /// may stand before one, a firewall's endpoint or interface, or through the gateway of a Wavelength Zone or an Outpost.
    pub(crate) fn may_answer_clients(&self) -> bool {
        let is_default = |route: &&RouteInfo| matches!(route.destination.as_str(), "0.0.0.0/0" | "::/0");
        let leads_on =
            |route: &RouteInfo| ["vpce-", "eni-", "cagw-", "lgw-"].iter().any(|kind| route.target.starts_with(kind));
        self.is_public() || self.routes.iter().filter(is_default).any(leads_on)
    }

    /// Whether it has a route to everywhere, whatever that leads through.
    pub(crate) fn leads_out(&self) -> bool {
        self.routes.iter().any(|route| route.destination == "0.0.0.0/0")
    }
}

/// A VPC's address blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VpcInfo {
    /// Its id.
    pub id: String,
    /// Its associated IPv4 blocks.
    pub cidr_blocks: BTreeSet<String>,
    /// Its associated IPv6 blocks.
    pub ipv6_cidr_blocks: BTreeSet<String>,
}

impl VpcInfo {
    /// A VPC by all of its route tables: AWS puts a local route for each of its blocks in every one (VPC guide, "Route
    /// table concepts"). `None` when they have no such route.
    pub(crate) fn routed(id: &str, tables: &[RouteTableInfo]) -> Option<Self> {
        let local = tables.iter().flat_map(|table| &table.routes).filter(|route| route.target == "local");
        let (ipv6_cidr_blocks, cidr_blocks): (BTreeSet<String>, BTreeSet<String>) =
            local.map(|route| route.destination.clone()).partition(|block| block.contains(':'));
        (!cidr_blocks.is_empty()).then(|| Self { id: id.to_owned(), cidr_blocks, ipv6_cidr_blocks })
    }
}

/// An instance as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceInfo {
    /// Its id.
    pub id: String,
    /// `pending`, `running`, `stopped`, ...
    pub state: String,
    /// Its VPC; empty when terminated.
    pub vpc_id: String,
    /// Its subnet; empty when terminated.
    pub subnet_id: String,
    /// Its availability zone, by name.
    pub availability_zone: String,
    /// Its private address.
    pub private_ip: Option<String>,
    /// Its public address.
    pub public_ip: Option<String>,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
}
