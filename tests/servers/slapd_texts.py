"""What tests/servers/slapd.py starts from: the server's configuration, the empty tree, and people by number."""

from __future__ import annotations

import subprocess
from pathlib import Path

SUFFIX = "dc=example,dc=com"
PASSWORD = "secret"
_MODULES = next((p for p in ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap") if Path(p).is_dir()), "/usr/lib/ldap")
_SCHEMA = next((p for p in ("/etc/ldap/schema", "/etc/openldap/schema") if Path(p).is_dir()), "/etc/ldap/schema")
DATABASE = "olcDatabase={1}mdb,cn=config"

CONFIG = f"""\
dn: cn=config
objectClass: olcGlobal
cn: config
olcTLSCertificateFile: server.crt
olcTLSCertificateKeyFile: server.key
olcSizeLimit: 500

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: {_MODULES}
olcModuleLoad: back_mdb
olcModuleLoad: syncprov
olcModuleLoad: ppolicy
olcModuleLoad: memberof
olcModuleLoad: refint

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file://{_SCHEMA}/core.ldif

include: file://{_SCHEMA}/cosine.ldif

include: file://{_SCHEMA}/nis.ldif

include: file://{_SCHEMA}/inetorgperson.ldif

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend
olcAccess: to dn.base="" by * read
olcAccess: to dn.base="cn=Subschema" by * read

dn: olcDatabase={{0}}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{0}}config
olcRootDN: cn=admin,cn=config
olcRootPW: {PASSWORD}

dn: {DATABASE}
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {SUFFIX}
olcRootDN: cn=admin,{SUFFIX}
olcRootPW: {PASSWORD}
olcDbDirectory: db
olcDbMaxSize: 4294967296
olcDbNoSync: TRUE
olcDbIndex: objectClass,entryUUID,entryCSN,uid,cn,mail,member,memberOf,memberUid,uniqueMember eq
olcLimits: dn.exact="cn=sync,{SUFFIX}" size.soft=unlimited size.hard=unlimited size.prtotal=unlimited time=unlimited
olcAccess: to attrs=userPassword by anonymous auth by * none
olcAccess: to * by users read by * none

dn: olcOverlay={{0}}syncprov,{DATABASE}
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: {{0}}syncprov
olcSpCheckpoint: 100 10
olcSpSessionlog: 1000

dn: olcOverlay={{1}}memberof,{DATABASE}
objectClass: olcOverlayConfig
objectClass: olcMemberOfConfig
olcOverlay: {{1}}memberof
olcMemberOfRefInt: TRUE

dn: olcOverlay={{2}}refint,{DATABASE}
objectClass: olcOverlayConfig
objectClass: olcRefintConfig
olcOverlay: {{2}}refint
olcRefintAttribute: member

dn: olcOverlay={{3}}ppolicy,{DATABASE}
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: {{3}}ppolicy
olcPPolicyDefault: cn=default,ou=policies,{SUFFIX}
"""

TREE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=former,{SUFFIX}
objectClass: organizationalUnit
ou: former

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

dn: ou=policies,{SUFFIX}
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,{SUFFIX}
objectClass: applicationProcess
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5

dn: cn=sync,{SUFFIX}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: sync
userPassword: {PASSWORD}

dn: cn=limited,{SUFFIX}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: limited
userPassword: {PASSWORD}
"""


def person_ldif(number: int, parent: str) -> str:
    """Return the LDIF of person `number`: u000042, two addresses, a stable entryUUID."""
    uid = f"u{number:06d}"
    return (
        f"dn: uid={uid},{parent}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: Person {number}\nsn: Person\n"
        f"displayName: Person {number}\nmail: {uid}@example.com\nmail: person.{number}@example.com\n"
        f"entryUUID: {person_id(number)}\n\n"
    )


def person_id(number: int) -> str:
    """Return the entryUUID that `Slapd.add_people` gives to person `number`."""
    return f"00000000-0000-4000-8000-{number:012x}"


def make_certificate(folder: Path) -> None:
    """Write server.crt, which names localhost and 127.0.0.1 and signs itself, and server.key."""
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost", "-addext", names, "-keyout", "server.key", "-out", "server.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
