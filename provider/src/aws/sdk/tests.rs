//! What is sent to AWS, and what is made of its answers.

use super::*;

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

const GONE: &str =
    "<ErrorResponse><Error><Code>LoadBalancerNotFound</Code><Message>gone</Message></Error></ErrorResponse>";

/// Gives these answers, one to each request in turn; then tells the requests, headers and all.
async fn answering(answers: Vec<(u16, String)>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let count = answers.len();
    let mut answers = answers.into_iter();
    answering_by(count, move |_| answers.next().expect("an answer to each request")).await
}

/// Answers that many requests by what is in them; then tells the requests, headers and all.
async fn answering_by(
    count: usize,
    mut answer: impl FnMut(&str) -> (u16, String) + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let requests = tokio::spawn(async move {
        let mut requests = Vec::new();
        for _ in 0..count {
            let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut request).await.expect("a header line"), 0, "cut short");
            }
            let headers = request.to_ascii_lowercase();
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
            let mut body_sent = vec![0_u8; length.map_or(0, |length| length.trim().parse().expect("a length"))];
            stream.read_exact(&mut body_sent).await.expect("a body");
            request.push_str(std::str::from_utf8(&body_sent).expect("text"));
            let (status, body) = answer(&request);
            requests.push(request);
            let length = body.len();
            let headers = format!("x-amzn-requestid: id-1\r\nconnection: close\r\ncontent-length: {length}");
            let answer = format!("HTTP/1.1 {status} x\r\n{headers}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("an answer sent");
        }
        requests
    });
    (address, requests)
}

/// An AWS at an address, asked once only.
fn aws_at(address: SocketAddr) -> SdkAws {
    SdkAws::new(access_at(address))
}

fn access_at(address: SocketAddr) -> Access {
    Access {
        region: Some("us-east-1".to_owned()),
        profile: None,
        keys: Some(Keys { access_key: "AKIDEXAMPLE".to_owned(), secret_key: "secret".to_owned(), token: None }),
        shared_config_files: Vec::new(),
        shared_credentials_files: Vec::new(),
        web_identity: None,
        assume_role: None,
        endpoint_url: Some(format!("http://{address}")),
        endpoints: BTreeMap::new(),
        max_attempts: 1,
    }
}

fn result(operation: &str, body: &str) -> (u16, String) {
    (200, format!("<{operation}Response><{operation}Result>{body}</{operation}Result></{operation}Response>"))
}

fn arns(arns: &[&str]) -> BTreeSet<String> {
    arns.iter().map(|arn| (*arn).to_owned()).collect()
}

#[tokio::test]
async fn every_page_is_read() {
    let group =
        |name: &str| format!("<TargetGroups><member><TargetGroupName>{name}</TargetGroupName></member></TargetGroups>");
    let (address, requests) = answering(vec![
        result("DescribeTargetGroups", &format!("{}<NextMarker>page-2</NextMarker>", group("mine-api"))),
        result("DescribeTargetGroups", &group("mine-broadcaster")),
    ])
    .await;
    let groups = aws_at(address).target_groups_named("mine-").await.expect("two pages");
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["mine-api", "mine-broadcaster"]);
    assert!(requests.await.expect("two requests")[1].contains("Marker=page-2"));
}

#[tokio::test]
async fn stacks_that_look_for_their_target_groups_together_share_one_list() {
    let member = |name: &str| format!("<member><TargetGroupName>{name}</TargetGroupName></member>");
    let list = format!("<TargetGroups>{}{}</TargetGroups>", member("mine-api"), member("yours-api"));
    // A second request would find nobody to answer it.
    let (address, _requests) = answering(vec![result("DescribeTargetGroups", &list)]).await;
    let aws = aws_at(address);
    let found = tokio::join!(
        aws.target_groups_named("mine-"),
        aws.target_groups_named("yours-"),
        aws.target_groups_named("nobody-")
    );
    let names = |found: Result<Vec<TargetGroupInfo>>| {
        found.expect("a list").into_iter().map(|group| group.name).collect::<Vec<_>>()
    };
    assert_eq!([found.0, found.1, found.2].map(names), [vec!["mine-api"], vec!["yours-api"], vec![]]);
}

/// AWS names no ARN of another region as missing: it refuses the whole call.
#[tokio::test]
async fn who_asks_for_what_aws_refuses_fails_alone() {
    let refusal = "<ErrorResponse><Error><Code>ValidationError</Code><Message>'arn:far' is not a valid load balancer \
                   ARN</Message></Error></ErrorResponse>";
    let near = "<LoadBalancers><member><LoadBalancerArn>arn:near</LoadBalancerArn></member></LoadBalancers>";
    let (address, requests) = answering_by(3, |request| {
        if request.contains("far") { (400, refusal.to_owned()) } else { result("DescribeLoadBalancers", near) }
    })
    .await;
    let aws = aws_at(address);
    let [near, far] = ["arn:near", "arn:far"].map(|arn| LoadBalancerKey::Arn(arn.to_owned()));
    let (found, refused) = tokio::join!(aws.load_balancer(&near), aws.load_balancer(&far));
    assert_eq!(found.expect("an answer").map(|found| found.arn).as_deref(), Some("arn:near"));
    assert_eq!(refused.expect_err("a refusal").code, "ValidationError");
    let first = requests.await.expect("three requests").remove(0);
    assert!(first.contains("near") && first.contains("far"), "they were not asked for together: {first}");
}

/// A process or a person may have to be asked for them.
#[tokio::test]
async fn credentials_that_cannot_be_had_are_looked_for_once() {
    let refusal =
        "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>";
    let (address, two_requests) = answering_by(2, move |_| (400, refusal.to_owned())).await;
    let mut access = access_at(address);
    access.web_identity = Some(WebIdentity {
        role_arn: "arn:aws:iam::123456789012:role/deployer".to_owned(),
        session_name: None,
        web_identity_token_file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned(),
    });
    let error = SdkAws::new(access).tags(&arns(&["arn:a"])).await.expect_err("no credentials");
    assert_eq!(error.code, "NoCredentials");
    assert!(!two_requests.is_finished(), "STS was asked twice");
}

#[tokio::test]
async fn tags_of_what_is_gone_are_left_out() {
    let tagged = "<TagDescriptions><member><ResourceArn>arn:b</ResourceArn><Tags><member><Key>team</Key>\
                  <Value>x</Value></member></Tags></member></TagDescriptions>";
    let gone = || (400, GONE.to_owned());
    let (address, _requests) = answering(vec![gone(), gone(), result("DescribeTags", tagged)]).await;
    let tags = aws_at(address).tags(&arns(&["arn:a", "arn:b"])).await.expect("tags of one");
    let expected = Tags::from([("team".to_owned(), "x".to_owned())]);
    assert_eq!(tags, BTreeMap::from([("arn:b".to_owned(), expected)]));
}

#[tokio::test]
async fn of_more_attributes_than_aws_takes_at_once_each_is_sent_once_in_two_calls() {
    let keys: Vec<String> = (10..31).map(|number| format!("key{number}")).collect();
    let attributes: Attributes = keys.iter().map(|key| (key.clone(), "on".to_owned())).collect();
    let operations = ["ModifyLoadBalancerAttributes", "ModifyTargetGroupAttributes"];
    let answers = operations.iter().flat_map(|operation| [result(operation, ""), result(operation, "")]).collect();
    let (address, requests) = answering(answers).await;
    let aws = aws_at(address);
    assert_eq!(aws.modify_load_balancer_attributes("arn:a", &attributes).await, Ok(()));
    assert_eq!(aws.modify_target_group_attributes("arn:b", &attributes).await, Ok(()));
    let requests = requests.await.expect("four requests");
    let sent = |request: &String| request.matches(".Key=").count();
    assert_eq!(requests.iter().map(sent).collect::<Vec<_>>(), [20, 1, 20, 1]);
    for (both, operation) in requests.chunks(2).zip(operations) {
        let both = both.concat();
        assert_eq!(both.matches(&format!("Action={operation}&")).count(), 2);
        for key in &keys {
            assert_eq!(both.matches(&format!(".Key={key}&")).count(), 1, "{key}");
        }
    }
}

#[tokio::test]
async fn a_load_balancer_that_is_gone_is_none_and_deleting_it_is_fine() {
    let (address, _requests) = answering(vec![(400, GONE.to_owned()), (400, GONE.to_owned())]).await;
    let aws = aws_at(address);
    assert_eq!(aws.load_balancer(&LoadBalancerKey::Name("a".to_owned())).await, Ok(None));
    assert_eq!(aws.delete_load_balancer("arn:a").await, Ok(()));
}

#[tokio::test]
async fn a_cache_is_looked_up_by_its_id_in_one_call() {
    let group = "<ReplicationGroups><ReplicationGroup><ReplicationGroupId>web</ReplicationGroupId>\
                 <Status>creating</Status><MemberClusters><ClusterId>web-001</ClusterId></MemberClusters>\
                 </ReplicationGroup></ReplicationGroups>";
    let gone = "<ErrorResponse><Error><Code>ReplicationGroupNotFoundFault</Code><Message>gone</Message></Error>\
                </ErrorResponse>";
    let answers = vec![result("DescribeReplicationGroups", group), (404, gone.to_owned())];
    let (address, requests) = answering(answers).await;
    let aws = aws_at(address);
    let found = aws.replication_group("web").await.expect("one");
    assert_eq!(found.map(|info| (info.id, info.status)), Some(("web".to_owned(), "creating".to_owned())));
    assert_eq!(aws.replication_group("web").await, Ok(None));
    let requests = requests.await.expect("two requests");
    assert!(requests.iter().all(|request| request.contains("ReplicationGroupId=web")), "{requests:?}");
}

#[tokio::test]
async fn a_cache_keeps_the_version_that_it_is_created_with() {
    let made = "<ReplicationGroup><ARN>arn:web</ARN></ReplicationGroup>";
    let (address, requests) = answering(vec![result("CreateReplicationGroup", made)]).await;
    let new = NewReplicationGroup {
        id: "web".to_owned(),
        description: "web".to_owned(),
        settings: CacheSettings {
            node_type: "cache.t3.micro".to_owned(),
            engine_version: Some("7.0".to_owned()),
            replica_count: 0,
            automatic_failover: false,
            multi_az: false,
            parameter_group: Some("default.redis7".to_owned()),
        },
        transit_encryption: true,
        at_rest_encryption: true,
        subnet_group: "web".to_owned(),
        security_groups: BTreeSet::new(),
        tags: Tags::new(),
    };
    assert_eq!(aws_at(address).create_replication_group(&new, None).await, Ok("arn:web".to_owned()));
    let request = requests.await.expect("a request").remove(0);
    for parameter in ["EngineVersion=7.0&", "AutoMinorVersionUpgrade=false&"] {
        assert!(request.contains(parameter), "{request}");
    }
}

/// EC2 may not know one yet that it has just launched.
#[tokio::test]
async fn an_instance_that_is_not_known_does_not_count_as_terminated() {
    let unknown = "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>unknown</Message></Error>\
                   </Errors><RequestID>id-1</RequestID></Response>";
    let (address, _requests) = answering(vec![(400, unknown.to_owned())]).await;
    let refused = aws_at(address).terminate_instance("i-0a").await.expect_err("a refusal");
    assert_eq!(refused.code, "InvalidInstanceID.NotFound");
}

/// As long as there are instances of it, EC2 does not refuse to describe it.
#[tokio::test]
async fn an_image_that_was_deregistered_is_not_asked_for_again() {
    let none = "<DescribeImagesResponse><requestId>id-1</requestId><imagesSet/></DescribeImagesResponse>";
    let (address, _requests) = answering(vec![(200, none.to_owned())]).await;
    let refused = aws_at(address).root_device("ami-0a").await.expect_err("no image");
    assert_eq!((refused.code.as_str(), refused.is_passing()), ("InvalidAMIID.Unavailable", false));
}

#[tokio::test]
async fn a_refusal_carries_operation_code_words_and_request_id() {
    let refusal = "<Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error>";
    let body = format!("<Response><Errors>{refusal}</Errors></Response>");
    let (address, _requests) = answering(vec![(403, body)]).await;
    let error = aws_at(address).vpc("vpc-1").await.expect_err("a refusal");
    assert_eq!(error.to_string(), "ec2:DescribeVpcs failed: UnauthorizedOperation: no (request id id-1)");
    assert_eq!(error.class(), ErrorClass::Denied);
}

#[tokio::test]
async fn an_answer_that_is_not_of_aws_is_no_answer() {
    for status in [200, 502] {
        let (address, _requests) = answering(vec![(status, "<html>Sign in</html>".to_owned())]).await;
        let error = aws_at(address).listeners("arn:a").await.expect_err("an answer of somebody else");
        assert_eq!(error.class(), ErrorClass::NoAnswer, "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    // The port is taken, so that no other test gets it, but nobody listens on it.
    let held = TcpSocket::new_v4().expect("a socket");
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = held.local_addr().expect("an address");
    let error = aws_at(address).account_id().await.expect_err("nobody listens");
    assert_eq!((error.class(), error.operation), (ErrorClass::NoAnswer, "sts:GetCallerIdentity"));
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_told_from_calls_that_fail() {
    let (address, _requests) = answering(Vec::new()).await;
    let mut access = access_at(address);
    access.web_identity = Some(WebIdentity {
        role_arn: "arn:aws:iam::123456789012:role/deployer".to_owned(),
        session_name: None,
        web_identity_token_file: "/nonexistent/token".to_owned(),
    });
    let error = SdkAws::new(access).account_id().await.expect_err("no token");
    assert_eq!(error.code, "NoCredentials");
    assert!(error.message.contains("/nonexistent/token"), "{error}");
}

#[tokio::test]
async fn a_role_is_taken_at_the_endpoint_given_and_its_keys_sign_what_follows() {
    let credentials = "<Credentials><AccessKeyId>AKIDOFROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                       <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>";
    let account = result("GetCallerIdentity", "<Account>123456789012</Account>");
    let (address, requests) = answering(vec![result("AssumeRole", credentials), account]).await;
    let mut access = access_at(address);
    access.assume_role = Some(AssumeRole {
        role_arn: "arn:aws:iam::123456789012:role/deployer".to_owned(),
        session_name: Some("ci".to_owned()),
        external_id: Some("outside".to_owned()),
        duration: Some(std::time::Duration::from_secs(1800)),
    });
    assert_eq!(SdkAws::new(access).account_id().await.as_deref(), Ok("123456789012"));
    let requests = requests.await.expect("two requests");
    for part in ["Action=AssumeRole", "RoleSessionName=ci", "ExternalId=outside", "DurationSeconds=1800"] {
        assert!(requests[0].contains(part), "{part} in {}", requests[0]);
    }
    assert!(requests[0].contains("Credential=AKIDEXAMPLE/"), "{}", requests[0]);
    assert!(requests[1].contains("Credential=AKIDOFROLE/"), "{}", requests[1]);
}

#[test]
fn portions_hold_everything_once_and_never_too_much() {
    let many: BTreeSet<String> = (0..41).map(|n| format!("arn:{n}")).collect();
    let portions = chunks(&many, 20);
    assert_eq!(portions.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 1]);
    assert_eq!(portions.into_iter().flatten().collect::<BTreeSet<_>>(), many);
    assert!(chunks(&BTreeSet::new(), 20).is_empty());
}
