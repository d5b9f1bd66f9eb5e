"""``service``: units that a package brings, and units that are written here, of the system or of the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import ROOT, Gate, Operation, Upload
from ovtasks.layers.unit_file import Service, drop_in_text, number, unit_text, variables_text
from ovtasks.project.layer_model import LayerPart, LayerSpec

WITHOUT_EFFECT = ("kind", "events", "priority")
"""Fields that only supervisord can give a meaning to."""
_SUFFIXES = (".service", ".socket", ".timer", ".path", ".target", ".mount", ".automount", ".swap", ".slice")


_File = tuple[Upload, str, str]
"""An upload, where it goes as a word of the shell, and its mode."""


class Services(OperationKind):
    """Services of systemd."""

    name = "services"
    doc = (
        "Sets up systemd services. `use_packaged` enables and starts a unit of a package; other fields "
        "and `overrides` become a drop-in `ov-<layer>.conf`. `exec` becomes a unit "
        "`ov-<layer>-<name>.service`, which also sees the variables of all layers. If a name has both, "
        "ov uses the packaged unit (the other is for supervisors in containers). `scope: user` makes a "
        "service of the login user, which runs without a login. ov checks whether the files are equal, "
        "and whether the unit is enabled and running. It restarts a changed unit. An image build "
        "enables and starts nothing. Undo restores the files, and whether the unit was enabled, masked "
        "and running."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        """An operation for each service; before the first one of a user, one that lets the user's services run.

        :raises InputError: a service has no or several commands, or fields that contradict each other.
        """
        chosen = list(_choose(layer, context))
        names = {_text(part, "name"): unit_name(layer.name, part) for part, _ in chosen}
        lingers = False
        for part, other in chosen:
            service = Service(part, context, unit_name(layer.name, part), names)
            if service.for_user and not lingers:
                lingers = True
                yield _linger(service)
            yield _operation(service, other)


def unit_name(layer: str, part: LayerPart) -> str:
    """The unit that a service is, or becomes.

    :raises InputError: it is a template without an instance.
    """
    packaged = _text(part, "use_packaged")
    if not packaged:
        return f"ov-{layer}-{_text(part, 'name')}.service"
    unit = packaged if packaged.endswith(_SUFFIXES) else f"{packaged}.service"
    if unit.partition(".")[0].endswith("@"):
        hint = f"name an instance: {unit.replace('@', '@NAME', 1)}"
        raise part.error(f"{unit} is a template, which cannot run", "use_packaged", hint=hint)
    return unit


def _choose(layer: LayerSpec, context: LayerContext) -> Iterator[tuple[LayerPart, str]]:
    """The services to carry out, with what to say of each: a packaged one comes before a written one of its name."""
    packaged = {_text(part, "name") for part in layer.services if _text(part, "use_packaged")}
    variants = {_text(part, "name") for part in layer.services if not _text(part, "use_packaged")}
    seen: set[tuple[str, str]] = set()
    for part in layer.services:
        name, is_packaged = _text(part, "name"), bool(_text(part, "use_packaged"))
        if is_packaged == bool(_text(part, "exec")):
            message = f"service {name} needs one of exec and use_packaged"
            hint = "another command of a packaged unit stands in overrides:" if is_packaged else None
            raise part.error(message, "exec" if is_packaged else None, hint=hint)
        if "overrides" in part.data and not is_packaged:
            hint = "add use_packaged, or write what is in overrides beside exec"
            raise part.error("overrides change a packaged unit", "overrides", hint=hint)
        if not is_packaged and name in packaged:
            continue
        if _text(part, "kind") == "eventlistener":
            context.skip(f"service {name}", "an event listener can only be run by supervisord", part.place("kind"))
            continue
        key = (_text(part, "scope") or "system", unit_name(layer.name, part))
        if key in seen:
            hint = "make one of them, or give it another name"
            raise part.error(
                f"two services of the layer are {key[1]}", "use_packaged" if is_packaged else "name", hint=hint
            )
        seen.add(key)
        yield part, "the exec of its name is for containers" if is_packaged and name in variants else ""


def _operation(service: Service, said: str) -> Operation:
    part, layer = service.part, service.context.layer.name
    packaged = bool(_text(part, "use_packaged"))
    folder = f"{service.context.facts.home}/.config/systemd/user" if service.for_user else "/etc/systemd/system"
    variables_place = f"{folder}/ov-{layer}-{_text(part, 'name')}.env"
    variables = variables_text(service)
    text = (drop_in_text if packaged else unit_text)(service, variables_place if variables else None)
    place = f'{quoted(folder)}/"$ov_unit"' + (f".d/{quoted(f'ov-{layer}.conf')}" if packaged else "")
    files = [(text_upload("unit", text), place, "0644")] * bool(text)
    files += [(text_upload("env", variables, 0o600), quoted(variables_place), "0600")] * bool(variables)
    scope = "user" if service.for_user else "system"
    find = f"ov_unit_need {scope} {quoted(service.unit)}" if packaged else f"ov_unit={quoted(service.unit)}"
    log = _log_folder(service)
    return Operation(
        kind="services",
        name=_title(service, said),
        do=(do := _do(service, scope, find, files, log)),
        look=_look(service, scope, find, files),
        save="\n".join((find, " ".join([f'ov_unit_save {scope} "$ov_unit"', *(one[1] for one in files), *log]))),
        undo=f"ov_unit_undo {scope}",
        where=part.where,
        user=service.context.facts.user if service.for_user else ROOT,
        uploads=tuple(one[0] for one in files),
        gate=Gate.SERVICE,
        in_image=f"ov_offline=yes\n{do}",
    )


def _do(service: Service, scope: str, find: str, files: Sequence[_File], log: Sequence[str]) -> str:
    lines = [find, *(f"[ -d {folder} ] || ov_folder {folder} 0755" for folder in log)]
    lines += [f'ov_unit_put "$FILES/{upload.name}" {place} {mode}' for upload, place, mode in files]
    if _starts(service.part):
        lines.append(f'ov_unit_begin {scope} "$ov_unit" {number(service.part, "start_secs")}')
    else:
        lines.append(f'ov_unit_settle {scope} "$ov_unit"')
    return "\n".join(lines)


def _look(service: Service, scope: str, find: str, files: Sequence[_File]) -> str:
    lines = [find, *(f'ov_same "$FILES/{upload.name}" {place} {mode}' for upload, place, mode in files)]
    if _starts(service.part):
        pace = " ends" if service.may_end and not _text(service.part, "use_packaged") else ""
        lines.append(f'ov_unit_same {scope} "$ov_unit"{pace}')
    else:
        lines.append('[ ! -e "$STATE/changed" ]')
    return " || exit 1\n".join(lines)


def _title(service: Service, said: str) -> str:
    part = service.part
    notes = [said] * bool(said)
    if lost := [key for key in WITHOUT_EFFECT if part.data.get(key) is not None and _text(part, key) != "program"]:
        notes.append(f"without effect: {', '.join(lost)}")
    whose = "user service" if service.for_user else "service"
    return f"{whose} {service.unit}" + (f" ({'; '.join(notes)})" if notes else "")


def _starts(part: LayerPart) -> bool:
    """Whether it is enabled and started."""
    return part.data.get("enable") is not False and part.data.get("auto_start") is not False


def _log_folder(service: Service) -> list[str]:
    """The folder of the file for its output, as a word of the shell: systemd makes none."""
    folder = service.setting("stdout").removeprefix("file:").rpartition("/")[0]
    return [quoted(folder)] if folder else []


def _linger(service: Service) -> Operation:
    facts, layer = service.context.facts, service.context.layer.name
    words = f"{quoted(facts.user)} {quoted(layer)}"
    return Operation(
        kind="services",
        name=f"services of {facts.user} run without a login",
        do=f"ov_linger_on {words}",
        look=f"ov_linger_same {words}",
        undo=f"ov_linger_off {words}",
        where=service.part.where,
        gate=Gate.SERVICE,
        in_image=f"ov_offline=yes\nov_linger_on {words}",
    )


def _text(part: LayerPart, key: str) -> str:
    value = part.data.get(key)
    return "" if value is None else str(value)
