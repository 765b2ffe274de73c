"""Laws of adopting domains: what is there is written again, or it is told what is not."""

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.adopting.found_domains import FoundDomain, described, read_domain_found
from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.elements import is_marked, parsed, text_of
from geats_core.domains.embedding import embeds, read_domain, seal_of
from geats_core.domains.machine_keys import problems, read_machine
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from tests.property.test_domain_laws import FACTS, machines

UUID = "027b22c9-a1bf-446a-b4af-9411a09008f8"
THERE = (  # of other programs
    '<devices><sound model="ich9" /></devices>',
    '<devices><input bus="usb" type="tablet" /></devices>',
    '<devices><graphics type="spice"><listen type="address" /></graphics></devices>',
    '<devices><disk device="cdrom" type="file"><target bus="sata" dev="sdz" /></disk></devices>',
    '<devices><controller index="1" model="pcie-root-port" type="pci" /></devices>',
    "<title>mine</title>",
    "<features><pae /></features>",
    '<clock instead="" offset="localtime"><timer name="rtc" /></clock>',
    '<on_crash instead="">preserve</on_crash>',
    '<devices><memballoon instead="" model="none" /></devices>',
    '<devices><disk part="root"><driver io="native" /><target dev="vdq" /></disk></devices>',
    '<devices><disk part="root"><serial>WD 4711</serial></disk></devices>',
    '<devices><rng part=""><rate bytes="9" /></rng></devices>',
    '<vcpu part="" placement="static" />',
    '<cpu part="" check="none" />',
)


def of_another(spec: VMSpec, more: list[str]) -> str:
    """A domain as another program may have made it: as geats writes it, without its note."""
    facts = DomainFacts(kind="qemu", sources=FACTS.sources, uuid=UUID, console=FACTS.console)
    domain = parsed(domain_xml(spec, read_machine(spec).unwrap(), facts, more))
    assert domain is not None
    for metadata in domain.findall("metadata"):
        domain.remove(metadata)
    return text_of(domain)


def written(found: FoundDomain, spec: VMSpec, keep: tuple[str, ...]) -> str:
    sources = {
        name: Source(path=disk.path, is_block=disk.is_block, format=disk.format)
        for name, disk in found.disks.items()
    }
    facts = DomainFacts(kind=found.kind, sources=sources, uuid=UUID)
    return domain_xml(spec, read_machine(spec).unwrap(), facts, keep)


@settings(max_examples=100, deadline=None)
@given(machines, st.lists(st.sampled_from(THERE), unique=True, max_size=5))
def test_all_that_is_there_is_written_again_or_told(wants: VMSpec, more: list[str]) -> None:
    """And what is added to it is told as well; and it is known again as it was adopted."""
    if problems(wants) or any(volume.name not in FACTS.sources for volume in wants.volumes):
        event("no domain")
        return
    text = of_another(wants, more)
    match read_domain_found(wants.name, text, {"/r": 1 << 30, "/d": 1 << 30}):
        case Failure(found_wrong):
            event("refused")
            assert found_wrong
        case Success(found):
            pools = dict.fromkeys(found.disks, "default")
            spec = parse_vm(found.name, described(found, pools, "image")).unwrap()
            final = written(found, spec, found.keep)
            have, made = parsed(text), parsed(final)
            assert have is not None
            assert made is not None
            lost = [each for each in found.told if " is lost" in each]
            assert lost == []
            assert embeds(have, made)
            for metadata in made.findall("metadata"):
                made.remove(metadata)
            assert found.told or embeds(made, have)
            wanted = written(found, spec, tuple(filter(is_marked, found.keep)))
            plain = [each for each in found.keep if not is_marked(each)]
            seen = read_domain(final, wanted, seal_of(final, wanted, plain))
            assert (seen.as_written, seen.uuid) == (True, UUID)
            assert sorted(seen.by_hand) == sorted(plain)
