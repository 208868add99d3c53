//! How AWS is reached and as whom: the standard AWS chain, and what the provider block puts before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::config::{Credentials, IdentityCache, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::NAME;
use crate::aws::{AwsError, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How AWS is reached, and as whom. What is not given comes from the standard AWS chain. Not `Debug`: it holds
/// secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared files. Credentials then come from it, even before environment variables.
    pub profile: Option<String>,
    /// Keys that are given outright.
    pub keys: Option<Keys>,
    /// Paths in place of `~/.aws/config`.
    pub shared_config_files: Vec<String>,
    /// Paths in place of `~/.aws/credentials`.
    pub shared_credentials_files: Vec<String>,
    /// A role to take with a web identity, in place of any other credentials.
    pub web_identity: Option<WebIdentity>,
    /// A role to take with the credentials that all the others yield.
    pub assume_role: Option<AssumeRole>,
    /// The endpoint of every service that has none in `endpoints`.
    pub endpoint_url: Option<String>,
    /// Endpoints by service: `elbv2`, `ec2`, `acm`, `elasticache`, `route53`, `ssm`, `sts`.
    pub endpoints: BTreeMap<String, String>,
    /// Attempts per call, at least 1.
    pub max_attempts: u32,
}

/// Access keys. Not `Debug`: they are secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The access key's id.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
    /// The session token of temporary keys.
    pub token: Option<String>,
}

/// A role to take with other credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssumeRole {
    /// Its ARN.
    pub role_arn: String,
    /// The session's name.
    pub session_name: Option<String>,
    /// What the role's owner asks for.
    pub external_id: Option<String>,
    /// How long the credentials last; AWS gives an hour when not said.
    pub duration: Option<Duration>,
}

/// A role to take with a token that somebody else issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebIdentity {
    /// The role's ARN.
    pub role_arn: String,
    /// The session's name.
    pub session_name: Option<String>,
    /// The file that holds the token, read anew each time.
    pub web_identity_token_file: String,
}

/// One client for each service. They share configuration, credentials and connections.
pub(super) struct Clients {
    pub(super) elbv2: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) acm: aws_sdk_acm::Client,
    pub(super) elasticache: aws_sdk_elasticache::Client,
    pub(super) route53: aws_sdk_route53::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) sts: aws_sdk_sts::Client,
}

/// A client of a service, at the endpoint that the provider block gives it.
macro_rules! client {
    ($service:ident, $access:expr, $name:literal, $config:expr) => {{
        let mut builder = $service::config::Builder::from($config);
        if let Some(url) = $access.endpoints.get($name) {
            builder.set_endpoint_url(Some(url.clone()));
        }
        $service::Client::from_conf(builder.build())
    }};
}

impl Clients {
    /// Reads files and the environment, and asks the EC2 instance for its region when nothing else tells one.
    pub(super) async fn load(access: &Access) -> Result<Self> {
        let config = Box::pin(load(access)).await?;
        Ok(Self {
            elbv2: client!(aws_sdk_elasticloadbalancingv2, access, "elbv2", &config),
            ec2: client!(aws_sdk_ec2, access, "ec2", &config),
            acm: client!(aws_sdk_acm, access, "acm", &config),
            elasticache: client!(aws_sdk_elasticache, access, "elasticache", &config),
            route53: client!(aws_sdk_route53, access, "route53", &config),
            ssm: client!(aws_sdk_ssm, access, "ssm", &config),
            sts: client!(aws_sdk_sts, access, "sts", &config),
        })
    }
}

async fn load(access: &Access) -> Result<SdkConfig> {
    let http = http_client();
    let retry = RetryConfig::adaptive().with_max_attempts(access.max_attempts);
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(retry.clone())
        .timeout_config(timeouts.clone())
        // Answers are small, and the attempt timeout bounds them all.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Ok(name) = AppName::new(NAME) {
        loader = loader.app_name(name);
    }
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(files) = shared_files(access) {
        loader = loader.profile_files(files);
    }
    if let Some(url) = &access.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(no_region(access));
    }
    let files_config = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_http_client(http)
        .with_retry_config(retry)
        .with_timeout_config(timeouts);
    Ok(with_credentials(access, config, &files_config))
}

fn no_region(access: &Access) -> AwsError {
    let profile =
        access.profile.as_ref().map_or(String::new(), |name| format!(" (looked for one in profile {name:?})"));
    AwsError {
        operation: "provider configuration",
        code: "NoRegion".to_owned(),
        message: format!(
            "no AWS region is set{profile}: set `region` in the provider block, the environment variable AWS_REGION, \
             or `region` in the shared configuration file's profile"
        ),
        request_id: None,
    }
}

/// The shared files to read, when the provider block names any.
fn shared_files(access: &Access) -> Option<EnvConfigFiles> {
    let (configs, credentials) = (&access.shared_config_files, &access.shared_credentials_files);
    if configs.is_empty() && credentials.is_empty() {
        return None;
    }
    let mut files = EnvConfigFiles::builder()
        .include_default_config_file(configs.is_empty())
        .include_default_credentials_file(credentials.is_empty());
    for path in configs {
        files = files.with_file(EnvConfigFileKind::Config, path);
    }
    for path in credentials {
        files = files.with_file(EnvConfigFileKind::Credentials, path);
    }
    Some(files.build())
}

/// Puts the credentials that the provider block gives in the place of the standard chain's.
fn with_credentials(access: &Access, mut config: SdkConfig, files_config: &ProviderConfig) -> SdkConfig {
    if let Some(role) = access.web_identity.clone() {
        let sts = credentials_client(access, &config);
        config = having(config, provide_credentials_fn(move || take_with_web_identity(sts.clone(), role.clone())));
    } else if let Some(Keys { access_key, secret_key, token }) = access.keys.clone() {
        config = having(config, Credentials::new(access_key, secret_key, token, None, NAME));
    } else if let Some(profile) = &access.profile {
        // The standard chain would prefer keys in the environment to the profile that was asked for.
        let mut of_profile = ProfileFileCredentialsProvider::builder().configure(files_config).profile_name(profile);
        if let Some(files) = shared_files(access) {
            of_profile = of_profile.profile_files(files);
        }
        config = having(config, of_profile.build());
    } else if let Some(chain) = config.credentials_provider() {
        config = having(config, chain);
    }
    if let Some(role) = access.assume_role.clone() {
        let sts = credentials_client(access, &config);
        config = having(config, provide_credentials_fn(move || take_role(sts.clone(), role.clone())));
    }
    config
}

/// What is secret in the credentials never shows in the log from then on, wherever they come from: AWS quotes the
/// session token when it does not find the signature right.
fn having(config: SdkConfig, provider: impl ProvideCredentials + 'static) -> SdkConfig {
    let provider = Arc::new(provider);
    let hidden = provide_credentials_fn(move || {
        let provider = provider.clone();
        async move {
            let given = provider.provide_credentials().await?;
            for secret in [Some(given.secret_access_key()), given.session_token()].into_iter().flatten() {
                tfplugin::log::add_secret(secret);
            }
            Ok(given)
        }
    });
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(hidden)).build()
}

/// The client that gets credentials. It goes without the cache of the others, which waits for it.
fn credentials_client(access: &Access, config: &SdkConfig) -> aws_sdk_sts::Client {
    let config = config.to_builder().identity_cache(IdentityCache::no_cache()).build();
    client!(aws_sdk_sts, access, "sts", &config)
}

/// Takes a role with other credentials. The SDK's own providers of roles are of no use here: where the environment
/// names an endpoint for STS, they go there and not to the provider block's.
async fn take_role(sts: aws_sdk_sts::Client, role: AssumeRole) -> provider::Result {
    let seconds = role.duration.map(|duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    let answer = sts
        .assume_role()
        .role_arn(role.role_arn)
        .role_session_name(role.session_name.unwrap_or_else(|| NAME.to_owned()))
        .set_external_id(role.external_id)
        .set_duration_seconds(seconds)
        .send()
        .await
        .map_err(CredentialsError::provider_error)?;
    credentials(answer.credentials)
}

async fn take_with_web_identity(sts: aws_sdk_sts::Client, role: WebIdentity) -> provider::Result {
    let path = role.web_identity_token_file;
    // A small local file, read once an hour: not worth a thread of its own.
    let token = std::fs::read_to_string(&path).map_err(|error| {
        CredentialsError::invalid_configuration(format!("the web identity token file {path:?} cannot be read: {error}"))
    })?;
    let answer = sts
        .assume_role_with_web_identity()
        .role_arn(role.role_arn)
        .role_session_name(role.session_name.unwrap_or_else(|| NAME.to_owned()))
        .web_identity_token(token.trim())
        .send()
        .await
        .map_err(CredentialsError::provider_error)?;
    credentials(answer.credentials)
}

fn credentials(given: Option<aws_sdk_sts::types::Credentials>) -> provider::Result {
    let given = given.ok_or_else(|| CredentialsError::unhandled("STS answered without credentials"))?;
    let expiry = SystemTime::try_from(given.expiration).map_err(CredentialsError::unhandled)?;
    let token = Some(given.session_token);
    Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(expiry), NAME))
}

/// The SDK's own default client; given explicitly, all services share it, its connections and its root certificates.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector =
            aws_smithy_http_client::Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}
