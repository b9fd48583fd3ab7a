"""Certificates that occ would not issue: of a deployment's CA, for a daemon's own key, good between any two dates."""
from stack import run

CONF = """[ca]
default_ca = d
[d]
new_certs_dir = {dir}
database = {dir}/index.txt
rand_serial = yes
unique_subject = no
default_md = sha256
policy = p
[p]
organizationName = optional
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = URI:spiffe://ocu.local/ocu/{name},DNS:{name}
"""


def issue(ca, key, name, folder, begin, end):
    """ca: the folder with ca.pem and ca.key; begin and end as 20200101000000Z. Works in folder; returns the PEM text."""
    folder.mkdir(exist_ok=True)
    (folder / "index.txt").write_text("")
    (folder / "conf").write_text(CONF.format(dir=folder, name=name))
    run(["openssl", "req", "-new", "-key", key, "-subj", f"/O=OCU/CN={name}", "-out", folder / "csr.pem"])
    run(["openssl", "ca", "-batch", "-notext", "-config", folder / "conf", "-cert", ca / "ca.pem", "-keyfile", ca / "ca.key", "-in",
         folder / "csr.pem", "-out", folder / "cert.pem", "-extensions", "leaf", "-startdate", begin, "-enddate", end])
    return (folder / "cert.pem").read_bytes()
