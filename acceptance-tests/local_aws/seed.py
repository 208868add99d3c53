"""What an operator has before any of our resources: a network, instances that run, certificates, a DNS zone."""

from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any, Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.acm.models import acm_backends

REGION = "us-east-1"
HOSTNAME = "codestream.example.com"
# The ports on which a CodeStream host listens, cleartext and encrypted.
HOST_PORTS = (80, 443, 12080, 12443)


def seed(client: Callable[[str], Any], account: str) -> dict[str, Any]:
    """Fills an empty account. The first instance is in the private subnet and goes out through the NAT gateway,
    the second is in the second public subnet."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    public = [subnet(ec2, vpc, f"10.0.{index}.0/24", zone) for index, zone in enumerate("abc")]
    private = subnet(ec2, vpc, "10.0.10.0/24", "a")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    route(ec2, vpc, public, GatewayId=gateway)
    address = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=public[0], AllocationId=address["AllocationId"])["NatGateway"]
    route(ec2, vpc, [private], NatGatewayId=nat["NatGatewayId"])
    group = host_group(ec2, vpc)
    image = client("ssm").get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    instances = [launch(ec2, image["Parameter"]["Value"], where, group) for where in (private, public[1])]
    acm = client("acm")
    imported = [import_certificate(acm, names) for names in ((HOSTNAME,), (HOSTNAME, "*.example.com"))]
    issued = acm.request_certificate(DomainName=HOSTNAME, ValidationMethod="DNS")["CertificateArn"]
    acm_backends[account][REGION]._certificates[issued].status = "ISSUED"
    pending = acm.request_certificate(DomainName=f"pending.{HOSTNAME}", ValidationMethod="DNS")["CertificateArn"]
    zone = client("route53").create_hosted_zone(Name="example.com", CallerReference="seed")["HostedZone"]["Id"]
    return {
        "account": account,
        "region": REGION,
        "vpc_id": vpc,
        "public_subnet_ids": public,
        "private_subnet_id": private,
        "nat_public_ip": address["PublicIp"],
        "instance_ids": instances,
        "instance_security_group_id": group,
        "hostname": HOSTNAME,
        "certificate_arn": imported[0],
        "wildcard_certificate_arn": imported[1],
        "issued_certificate_arn": issued,
        "pending_certificate_arn": pending,
        "zone_id": zone.removeprefix("/hostedzone/"),
    }


def subnet(ec2: Any, vpc: str, block: str, zone: str) -> str:
    return ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=REGION + zone)["Subnet"]["SubnetId"]


def route(ec2: Any, vpc: str, subnets: list[str], **target: str) -> None:
    """Gives the subnets a route table of their own whose default route leads to the target."""
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    for subnet_id in subnets:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)


def host_group(ec2: Any, vpc: str) -> str:
    """The security group of the instances: it admits the whole VPC on the host's ports."""
    group = ec2.create_security_group(GroupName="codestream-host", Description="CodeStream host", VpcId=vpc)["GroupId"]
    source = [{"CidrIp": "10.0.0.0/16"}]
    permissions = [{"IpProtocol": "tcp", "FromPort": p, "ToPort": p, "IpRanges": source} for p in HOST_PORTS]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    return group


def launch(ec2: Any, image: str, subnet_id: str, group: str) -> str:
    request = {"ImageId": image, "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(SubnetId=subnet_id, SecurityGroupIds=[group], **request)["Instances"][0]["InstanceId"]


def import_certificate(acm: Any, names: tuple[str, ...]) -> str:
    certificate, key = self_signed(names)
    return acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]


@cache
def self_signed(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A self-signed RSA certificate for the names, valid for ten years, and its key; both PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    start = datetime.now(timezone.utc) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        # The fewer names, the later it ends: of two that cover a name, one ends last.
        .not_valid_after(start + timedelta(days=3650 - len(names)))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
