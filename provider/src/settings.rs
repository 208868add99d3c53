//! The provider block: what follows from it for every resource. What it may say is in `schema`.

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::value::Value;
use tokio::sync::OnceCell;

use crate::aws::{Access, AssumeRole, Aws, AwsError, Keys, SdkAws, Tags, WebIdentity};
use crate::duration::parse_go_duration;

pub(crate) use schema::{schema, validate};

/// Attempts per call when the configuration does not say.
const DEFAULT_ATTEMPTS: u32 = 10;

/// What must be known before AWS can be asked anything, or trusted to be the right account.
const ACCESS: [&str; 14] = [
    "region",
    "profile",
    "access_key",
    "secret_key",
    "token",
    "shared_config_files",
    "shared_credentials_files",
    "assume_role",
    "assume_role_with_web_identity",
    "allowed_account_ids",
    "forbidden_account_ids",
    "endpoint_url",
    "endpoints",
    "max_attempts",
];

/// What the plan-time checks against AWS do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// What they find is an error.
    Error,
    /// What they find is a warning.
    Warn,
    /// They are not made: planning needs no credentials and no network.
    Off,
}

impl Preflight {
    /// What the checks have found, as loud as it is to be.
    pub(crate) fn tone(self, found: Diagnostics) -> Diagnostics {
        let mut toned = Diagnostics::new();
        for diagnostic in found {
            let severity = if self == Self::Warn { Severity::Warning } else { diagnostic.severity };
            toned.push(Diagnostic { severity, ..diagnostic });
        }
        toned
    }
}

/// What follows from a provider block.
pub(crate) struct Settings {
    /// AWS; `None` while anything that says how to reach it, or whose it must be, is unknown.
    pub(crate) aws: Option<Arc<dyn Aws>>,
    /// The tags under every resource's own; `None` while one of them is unknown.
    pub(crate) default_tags: Option<Tags>,
    /// What the plan-time checks do.
    pub(crate) preflight: Preflight,
    allowed: BTreeSet<String>,
    forbidden: BTreeSet<String>,
    account: OnceCell<String>,
}

/// The settings as all resources share them: what the provider was configured with last.
#[derive(Clone)]
pub(crate) struct Shared(Arc<RwLock<Arc<Settings>>>);

impl Shared {
    /// The settings now.
    pub(crate) fn get(&self) -> Arc<Settings> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub(crate) fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

/// Those of a provider that is not configured: nothing is known.
impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Arc::new(Settings::from_config(&Value::Unknown)))))
    }
}

impl Settings {
    /// Reads a validated provider block, in which values may be unknown. Asks nothing and opens nothing.
    pub(crate) fn from_config(config: &Value) -> Self {
        let known = ACCESS.iter().all(|name| config.get(name).is_wholly_known());
        let tags = config.get("default_tags");
        Self {
            aws: known.then(|| Arc::new(SdkAws::new(access(config))) as Arc<dyn Aws>),
            default_tags: tags.is_wholly_known().then(|| strings_by_key(tags)),
            preflight: match config.get("preflight") {
                Value::Null => Preflight::Error,
                value => match value.as_str() {
                    Some("error") => Preflight::Error,
                    Some("warn") => Preflight::Warn,
                    // As long as it may turn out to be "off", nothing may be asked.
                    _ => Preflight::Off,
                },
            },
            allowed: strings(config.get("allowed_account_ids")).into_iter().collect(),
            forbidden: strings(config.get("forbidden_account_ids")).into_iter().collect(),
            account: OnceCell::new(),
        }
    }

    /// Makes sure that the account is one the provider block lets us change. To be called before the first write, and
    /// before a stack is forgotten; asks AWS at most once, and only when the block restricts accounts.
    ///
    /// # Errors
    ///
    /// The account is another than allowed or a forbidden one, or AWS does not tell.
    pub(crate) async fn check_account(&self) -> Result<(), Diagnostics> {
        if self.allowed.is_empty() && self.forbidden.is_empty() {
            return Ok(());
        }
        let Some(aws) = &self.aws else { return Err(crate::diagnose::not_configured()) };
        let account =
            self.account.get_or_try_init(|| aws.account_id()).await.map_err(|error| unknown_account(&error))?;
        let (rule, accounts) = if self.forbidden.contains(account) {
            ("forbidden_account_ids", &self.forbidden)
        } else if !self.allowed.is_empty() && !self.allowed.contains(account) {
            ("allowed_account_ids", &self.allowed)
        } else {
            return Ok(());
        };
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        Err(Diagnostics::of_error(
            "The wrong AWS account",
            format!(
                "The credentials are of account {account}, but {rule} in the provider block is {}. Nothing was \
                 changed. Use credentials of the right account, or change {rule}.",
                accounts.join(", ")
            ),
        ))
    }
}

fn unknown_account(error: &AwsError) -> Diagnostics {
    Diagnostics::of_error(
        "Cannot tell the AWS account",
        format!(
            "The provider block restricts the accounts that may be changed, so the account must be known first: \
             {error}. Nothing was changed."
        ),
    )
}

/// How AWS is reached. What is secret in it never shows in the log from here on.
fn access(config: &Value) -> Access {
    for name in ["access_key", "secret_key", "token"] {
        if let Some(secret) = string(config, name) {
            tfplugin::log::add_secret(&secret);
        }
    }
    let keys = string(config, "access_key").zip(string(config, "secret_key"));
    let (role, web_identity) = (config.get("assume_role"), config.get("assume_role_with_web_identity"));
    Access {
        region: string(config, "region"),
        profile: string(config, "profile"),
        keys: keys.map(|(access_key, secret_key)| Keys { access_key, secret_key, token: string(config, "token") }),
        shared_config_files: paths(config.get("shared_config_files")),
        shared_credentials_files: paths(config.get("shared_credentials_files")),
        web_identity: string(web_identity, "role_arn").zip(string(web_identity, "web_identity_token_file")).map(
            |(role_arn, file)| WebIdentity {
                role_arn,
                session_name: string(web_identity, "session_name"),
                web_identity_token_file: path(file),
            },
        ),
        assume_role: string(role, "role_arn").map(|role_arn| AssumeRole {
            role_arn,
            session_name: string(role, "session_name"),
            external_id: string(role, "external_id"),
            duration: string(role, "duration").and_then(|text| parse_go_duration(&text).ok()),
        }),
        endpoint_url: string(config, "endpoint_url"),
        endpoints: strings_by_key(config.get("endpoints")),
        max_attempts: config
            .get("max_attempts")
            .as_i64()
            .and_then(|attempts| u32::try_from(attempts).ok())
            .unwrap_or(DEFAULT_ATTEMPTS),
    }
}

/// A string that is given: an empty one is as good as none, as in the AWS provider.
fn string(object: &Value, name: &str) -> Option<String> {
    object.get(name).as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A path in which `~/` is the user's home, as AWS's own tools have it.
fn path(text: String) -> String {
    let in_home = text.strip_prefix("~/").zip(std::env::home_dir());
    in_home.map_or_else(|| text.clone(), |(rest, home)| home.join(rest).to_string_lossy().into_owned())
}

fn paths(list: &Value) -> Vec<String> {
    strings(list).into_iter().map(path).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_list().unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn strings_by_key(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_map().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use crate::aws::fake::{ACCOUNT, FakeAws};

    fn block(arguments: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::object(arguments)
    }

    fn guarded(name: &'static str, accounts: &[&str]) -> (FakeAws, Settings) {
        let aws = FakeAws::new();
        let mut settings = Settings::from_config(&block([(name, Value::set(accounts.iter().copied()))]));
        settings.aws = Some(Arc::new(aws.clone()));
        (aws, settings)
    }

    #[test]
    fn an_empty_block_leaves_all_to_the_standard_chain() {
        let access = access(&block([]));
        assert!(access.region.is_none() && access.keys.is_none() && access.assume_role.is_none());
        assert_eq!(access.max_attempts, 10);
        let settings = Settings::from_config(&block([]));
        assert!(settings.aws.is_some());
        assert_eq!((settings.default_tags, settings.preflight), (Some(Tags::new()), Preflight::Error));
    }

    #[test]
    fn what_is_given_is_how_aws_is_reached() {
        let access = access(&block([
            ("region", "eu-central-1".into()),
            ("profile", "".into()),
            ("access_key", "AKIDEXAMPLE".into()),
            ("secret_key", "an example secret".into()),
            ("endpoints", block([("sts", "http://localhost:5000".into()), ("acm", Value::Null)])),
            (
                "assume_role",
                block([("role_arn", "arn:aws:iam::123456789012:role/r".into()), ("duration", "30m".into())]),
            ),
            ("max_attempts", 3_i64.into()),
        ]));
        assert_eq!((access.region.as_deref(), access.profile.as_deref()), (Some("eu-central-1"), None));
        assert!(access.keys.is_some_and(|keys| keys.secret_key == "an example secret" && keys.token.is_none()));
        assert_eq!(access.endpoints, BTreeMap::from([("sts".to_owned(), "http://localhost:5000".to_owned())]));
        assert_eq!(access.assume_role.and_then(|role| role.duration), Some(Duration::from_secs(1800)));
        assert_eq!(access.max_attempts, 3);
    }

    #[test]
    fn the_home_directory_may_be_written_as_a_tilde_in_every_path() {
        let role = [("role_arn", "arn:aws:iam::123456789012:role/r"), ("web_identity_token_file", "~/token")];
        let access = access(&block([
            ("shared_config_files", Value::List(["~/.aws/config", "/etc/aws/~/config"].map(Value::from).into())),
            ("shared_credentials_files", Value::List(vec!["~/.aws/credentials".into()])),
            ("assume_role_with_web_identity", block(role.map(|(name, text)| (name, text.into())))),
        ]));
        let home = std::env::var("HOME").unwrap();
        assert_eq!(access.shared_config_files, [&format!("{home}/.aws/config"), "/etc/aws/~/config"]);
        assert_eq!(access.shared_credentials_files, [format!("{home}/.aws/credentials")]);
        assert_eq!(access.web_identity.unwrap().web_identity_token_file, format!("{home}/token"));
    }

    #[test]
    fn no_aws_while_what_reaches_it_is_unknown() {
        for name in ACCESS {
            assert!(Settings::from_config(&block([(name, Value::Unknown)])).aws.is_none(), "{name}");
        }
        let settings = Settings::from_config(&block([
            ("endpoints", block([("ec2", Value::Unknown)])),
            ("default_tags", block([("team", Value::Unknown)])),
            ("preflight", Value::Unknown),
        ]));
        assert!(settings.aws.is_none() && settings.default_tags.is_none());
        assert_eq!(settings.preflight, Preflight::Off);
        let tags_only = Settings::from_config(&block([("default_tags", Value::Unknown)]));
        assert!(tags_only.aws.is_some() && tags_only.default_tags.is_none());
    }

    #[test]
    fn a_provider_that_is_not_configured_reaches_nothing() {
        let settings = Shared::default().get();
        assert!(settings.aws.is_none() && settings.default_tags.is_none());
    }

    #[tokio::test]
    async fn only_allowed_accounts_may_be_changed_and_aws_is_asked_once() {
        let (aws, settings) = guarded("allowed_account_ids", &[ACCOUNT]);
        assert!(settings.check_account().await.is_ok() && settings.check_account().await.is_ok());
        assert_eq!(aws.calls().len(), 1);
        for (name, accounts) in [("allowed_account_ids", "210987654321"), ("forbidden_account_ids", ACCOUNT)] {
            let (_, settings) = guarded(name, &[accounts]);
            let refused = settings.check_account().await.expect_err(name);
            let detail: String = refused.iter().map(|diagnostic| diagnostic.detail.as_str()).collect();
            assert!([ACCOUNT, accounts, name].iter().all(|part| detail.contains(part)), "{detail}");
        }
    }

    #[tokio::test]
    async fn an_account_that_does_not_matter_is_not_asked_for() {
        let (aws, settings) = guarded("forbidden_account_ids", &[]);
        assert!(settings.check_account().await.is_ok());
        assert!(aws.calls().is_empty());
    }
}
