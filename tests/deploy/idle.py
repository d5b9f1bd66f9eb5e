"""A project whose VM can be built from a file, and a deployment of ten layers: what doing nothing is measured with."""

from __future__ import annotations

from tests.deploy.guest import Guest
from tests.support.workbench import make_image


def ten_layers(guest: Guest) -> None:
    """Write the guest's project anew."""
    image = guest.project / "image.qcow2"
    make_image(image)
    source = f"{{kind: cloud_image, url: {image}, base_user: debian, checksum: {{type: none}}}}"
    vms = f"vms:\n  web: {{source: {source}, disk_size: 1G, ssh: {{key_source: none}}}}\n"
    (guest.project / "vms.yml").write_text(vms, encoding="utf-8")
    (guest.project / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    names = [f"layer{n}" for n in range(10)]
    for name in names:
        guest.layer(name, f"tasks:\n- {{write: /srv/{name}, content: {name}}}\n- {{mkdir: /srv/of-{name}}}\n")
    allowed = "install_opts: {allow_root_tasks: true}"
    guest.deploy_yml(f"deploy:\n  web-vm: {{target: vm, add_layers: [{', '.join(names)}], {allowed}}}\n")
