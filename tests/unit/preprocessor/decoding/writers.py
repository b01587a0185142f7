"""One recording in the vendors' own formats, written after what is published of each; for tests only.

These are conformant synthetics: no shareable real file of these formats was found, or the real one may not be part of
this repository. Every writer plants the same identifiers wherever its format has a place for them, so that a test can
look for them behind the decoder. BioSig 2.5 (Debian's biosig-tools) reads what it knows of them, sample for sample;
see docs/decisions/preprocessor-formats.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS

__all__ = ["PLANTED", "WRITERS", "Counts"]

Counts = npt.NDArray[np.int16]
RATE: Final = 500
NAME, GIVEN, NUMBER, ACCESSION = "Zzplanted", "Yyplanted", "MRN0099887", "ACC5550001"
DOCTOR, PLACE, NOTE, SERIAL = "Drplanted", "Siteplanted", "Noteplanted street 12", "SN7766554"
#: What must never leave a decoder, the birth date in each way it is written among it.
PLANTED: Final = (
    "planted", NUMBER, ACCESSION, SERIAL, "19310713", "1931-07-13", "13.07.1931", "07-13-1931", "13-JUL-1931", "1931",
)  # fmt: skip
_SCP_CODES: Final[Mapping[str, int]] = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))


def scp(counts: Counts) -> bytes:
    """SCP-ECG (EN 1064): sections 0, 1, 3 and 6, neither compressed nor differenced, 1 µV steps."""

    def tag(number: int, value: bytes) -> bytes:
        return struct.pack("<BH", number, len(value)) + value

    def text(value: str) -> bytes:
        return value.encode("latin-1") + b"\0"

    device = struct.pack("<HHHBB", 0, 0, 1, 0, 0) + b"SYNTH\0" + bytes([13, 0xA0, 0, 0, 1]) + bytes(16) + bytes([1])
    device += text("prog") + text(SERIAL) + text("1.0") + text("test") + text("Synthetic")
    about = tag(0, text(NAME)) + tag(1, text(GIVEN)) + tag(2, text(NUMBER))
    about += tag(5, struct.pack("<HBB", 1931, 7, 13)) + tag(8, b"\2") + tag(14, device) + tag(16, text(PLACE))
    about += tag(20, text(DOCTOR)) + tag(25, struct.pack("<HBB", 2020, 3, 4)) + tag(26, bytes([9, 10, 11]))
    about += tag(30, text(NOTE)) + tag(31, text(ACCESSION)) + tag(255, b"")
    leads = bytes([len(counts), 0x04 | len(counts) << 3])
    for lead in STANDARD_LEADS:
        leads += struct.pack("<LLB", 1, counts.shape[1], _SCP_CODES[lead])
    rhythm = struct.pack("<HHBB", 1000, 1_000_000 // RATE, 0, 0)
    rhythm += b"".join(struct.pack("<H", 2 * counts.shape[1]) for _ in counts) + counts.astype("<i2").tobytes()
    bodies = {1: about, 3: leads, 6: rhythm}
    sections, position = {}, 7 + 16 + 10 * 12
    pointers = struct.pack("<HLL", 0, 16 + 10 * 12, 7)
    for number in range(1, 12):
        body = bodies.get(number, b"")
        body += b"\0" * (len(body) % 2)
        if body:
            sections[number] = _scp_section(number, body)
            pointers += struct.pack("<HLL", number, len(sections[number]), position)
            position += len(sections[number])
        else:
            pointers += struct.pack("<HLL", number, 0, 0)
    content = _scp_section(0, pointers) + b"".join(sections.values())
    sized = struct.pack("<L", len(content) + 6) + content
    return struct.pack("<H", binascii.crc_hqx(sized, 0xFFFF)) + sized


def _scp_section(number: int, body: bytes) -> bytes:
    head = struct.pack("<HLBB", number, len(body) + 16, 13, 13) + (b"SCPECG" if number == 0 else bytes(6))
    return struct.pack("<H", binascii.crc_hqx(head + body, 0xFFFF)) + head + body


def ishne(counts: Counts) -> bytes:
    """ISHNE Holter standard output file format, version 1, 1 µV steps."""
    extra = NOTE.encode()
    head = struct.pack("<llllh", len(extra), counts.shape[1], 522, 522 + len(extra), 1)
    head += GIVEN.encode().ljust(40, b"\0") + NAME.encode().ljust(40, b"\0") + NUMBER.encode().ljust(20, b"\0")
    head += struct.pack("<hh3h3h3h3h", 2, 1, 13, 7, 1931, 4, 3, 2020, 4, 3, 2020, 9, 10, 11)
    head += struct.pack("<h12h12h12h", 12, *range(5, 17), *[0] * 12, *[1000] * 12)
    head += struct.pack("<h", 0) + b"digital".ljust(40, b"\0") + struct.pack("<h", RATE)
    head += NOTE.encode().ljust(80, b"\0") + PLACE.encode().ljust(80, b"\0") + bytes(88)
    body = head + extra
    return b"ISHNE1.0" + struct.pack("<H", binascii.crc_hqx(body, 0xFFFF)) + body + counts.T.astype("<i2").tobytes()


def mfer(counts: Counts) -> bytes:
    """MFER (ISO 22077-1) standard 12-lead ECG: one sequence, 16-bit samples of 1 µV, big-endian."""

    def entry(number: int, value: bytes) -> bytes:
        size = len(value)
        return bytes([number]) + (bytes([size]) if size < 128 else b"\x84" + struct.pack(">L", size)) + value

    parts = [
        entry(0x40, b"MFR Standard 12 leads ECG".ljust(32)),
        entry(0x01, b"\0"),
        entry(0x02, bytes([1, 5, 0])),
        entry(0x17, f"Synthetic^MWF-1^1.0^{SERIAL}".encode()),
        entry(0x08, struct.pack(">H", 1)),
        entry(0x0B, bytes([1, 0xFD]) + struct.pack(">h", 1000 // RATE)),
        entry(0x0C, bytes([0, 0xFA]) + struct.pack(">h", 1)),
        entry(0x0A, b"\0"),
        entry(0x04, struct.pack(">L", counts.shape[1])),
        entry(0x05, struct.pack(">L", len(counts))),
        entry(0x06, struct.pack(">L", 1)),
    ]
    for k, lead in enumerate(STANDARD_LEADS):
        label = entry(0x09, bytes([_SCP_CODES[lead]]))
        parts.append(bytes([0x3F, k, len(label)]) + label)
    parts += [
        entry(0x16, NOTE.encode()),
        entry(0x81, f"{NAME}^{NAME}^{GIVEN}^{GIVEN}".encode()),
        entry(0x82, f"{NUMBER}^{ACCESSION}".encode()),
        entry(0x83, bytes([88]) + struct.pack(">HHBB", 0, 1931, 7, 13)),
        entry(0x84, b"\2"),
        entry(0x85, struct.pack(">HBBBBBHH", 2020, 3, 4, 9, 10, 11, 0, 0)),
        entry(0x1E, counts.astype(">i2").tobytes()),
        b"\x80\0",
    ]
    return b"".join(parts)


def cardiosoft(counts: Counts) -> bytes:
    """GE CardioSoft XML: numbers between commas, tabs and line ends among them, 1 µV steps, and a median beat."""

    def waves(part: Counts) -> str:
        return "\n".join(
            f'<WaveformData lead="{lead}">\n\t\t'
            + ",".join(map(str, row)).replace(",0,", ",0,\n\t\t")
            + "</WaveformData>"
            for lead, row in zip(STANDARD_LEADS, part, strict=True)
        )

    def head(samples: int) -> str:
        return (
            f'<NumberOfLeads>12</NumberOfLeads><SampleRate units="Hz">{RATE}</SampleRate>'
            f'<ChannelSampleCountTotal>{samples}</ChannelSampleCountTotal><Resolution units="uVperLsb">1</Resolution>'
        )

    return f"""<?xml version="1.0" encoding="ISO8859-1" ?>
<CardiologyXML>
<ObservationType>RestECG</ObservationType>
<ObservationDateTime><Hour>9</Hour><Minute>10</Minute><Second>11</Second><Day>4</Day><Month>3</Month><Year>2020</Year>
</ObservationDateTime>
<UID><DICOMStudyUID>{ACCESSION}</DICOMStudyUID></UID>
<ClinicalInfo><ReasonForStudy>{NOTE}</ReasonForStudy><DeviceInfo><Desc>other</Desc></DeviceInfo></ClinicalInfo>
<DeviceInfo><Desc>CardioSoft</Desc><SoftwareVer>V6.71</SoftwareVer><AnalysisVer>V21</AnalysisVer></DeviceInfo>
<PatientInfo><PID>{NUMBER}</PID><Name><FamilyName>{NAME}</FamilyName><GivenName>{GIVEN}</GivenName></Name>
<Age units="Years">88</Age><BirthDateTime><Day>13</Day><Month>7</Month><Year>1931</Year></BirthDateTime>
<Gender>FEMALE</Gender></PatientInfo>
<Device-Type>CASE</Device-Type>
<Interpretation><Diagnosis><DiagnosisText>{NOTE}</DiagnosisText></Diagnosis></Interpretation>
<RestingECGMeasurements><VentricularRate units="BPM">75</VentricularRate>
<MedianSamples>{head(600)}{waves(counts[:, :600])}</MedianSamples></RestingECGMeasurements>
<StripData>{head(counts.shape[1])}{waves(counts)}</StripData>
</CardiologyXML>
""".encode("latin-1")


def schiller(counts: Counts) -> bytes:
    """Schiller SEMA EDI XML in the layout of a real AT-10P export: 1 µV steps, averages before the rhythm."""
    measured = "".join(
        f"<annotation_lead>\n<name>{name}</name>\n<value>{value}</value>\n</annotation_lead>\n"
        for name, value in (("P_POS_AMPL", "0.11"), ("Q_AMPL", "-"))
    )

    def wavedata(kind: str, part: Counts) -> str:
        channels = "".join(
            f"<channel>\n{measured}<name>{lead.upper()}</name>\n<data>{','.join(map(str, row))},</data>\n"
            f"<datastype>COMMASEPARATE</datastype>\n<samplecount>{len(row)}</samplecount>\n</channel>\n"
            for lead, row in zip(STANDARD_LEADS, part, strict=True)
        )
        return (
            f"<wavedata>\n<type>{kind}</type>\n<resolution>\n<samplerate>\n<exponent>1</exponent>\n"
            f"<value>{RATE}</value>\n</samplerate>\n<yres>\n<unitperbit>1.0</unitperbit>\n<units>UV</units>\n</yres>\n"
            f"</resolution>\n{channels}</wavedata>\n"
        )

    return f"""<?xml version="1.0"?>
<com.xiriuz.sema.xml.schillerEDI.SchillerEDI>
<patdata>
<id>{NUMBER}</id><lastname>{NAME}</lastname><firstname>{GIVEN}</firstname><birthdate>19310713</birthdate>
<gender>FEMALE</gender><ethnic>UNDEFINED</ethnic><weight><value>0.0</value><unit>kg</unit></weight>
</patdata>
<examdescript>
<startdatetime>
<date>20200304</date>
<time>091011000</time>
</startdatetime>
<rectype>RESTING_ECG</rectype><job_id></job_id><case_id>{ACCESSION}</case_id><location><id>{PLACE}</id></location>
<idu><aquiring_user><id>{DOCTOR}</id></aquiring_user></idu>
<aquiringdevice>
<hardware><vendor>Schiller</vendor><type>EmbeddedECG</type><model>AT-10P</model><serialnum>{SERIAL}</serialnum></hardware>
<software><vendor>Schiller</vendor><version>252</version></software>
</aquiringdevice>
<xmlgenerator><hardware><vendor>Schiller</vendor><model>SCM</model></hardware></xmlgenerator>
</examdescript>
<eventdata>
<event>
<offset>0</offset><reason>END_RECORD</reason><step>0</step>
{wavedata("ECG_AVERAGES", counts[:, :500])}{wavedata("ECG_RHYTHMS", counts)}</event>
</eventdata>
</com.xiriuz.sema.xml.schillerEDI.SchillerEDI>
""".encode()


def mortara(counts: Counts) -> bytes:
    """Mortara ELI XML: base64 of 16-bit samples, 1 µV steps, and a typical cycle."""

    def data(row: Counts) -> str:
        return base64.b64encode(row.astype("<i2").tobytes()).decode()

    form = 'BITS="16" FORMAT="SIGNED" UNITS_PER_MV="1000" ENCODING="BASE64"'
    cycle = "".join(
        f'<TYPICAL_CYCLE_CHANNEL NAME="{lead}" DATA="{data(row[:600])}"/>'
        for lead, row in zip(STANDARD_LEADS, counts, strict=True)
    )
    channels = "\n".join(
        f'<CHANNEL OFFSET="0" {form} DURATION="{len(row)}" SAMPLE_FREQ="{RATE}" NAME="{lead}" DATA="{data(row)}"/>'
        for lead, row in zip(STANDARD_LEADS, counts, strict=True)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ECG ACQUISITION_TIME="20200304091011" AGE="88" AGE_UNITS="Y" COMMENT="{NOTE}" TECHNICIAN="{DOCTOR}" LOCATION="{PLACE}">
<SUBJECT LAST_NAME="{NAME}" FIRST_NAME="{GIVEN}" ID="{NUMBER}" GENDER="Female" DOB="19310713"/>
<SOURCE TYPE="RESTING" MANUFACTURER="Mortara Instrument, Inc." MODEL="ELI250c"
ACQUIRING_DEVICE_SERIAL_NUMBER="{SERIAL}"/>
<TYPICAL_CYCLE {form} DURATION="600" SAMPLE_FREQ="{RATE}">{cycle}</TYPICAL_CYCLE>
{channels}
</ECG>
""".encode()


def muse(counts: Counts) -> bytes:
    """GE MUSE XML: eight leads, base64 of 16-bit samples, 1 µV steps, median and rhythm."""

    def waveform(kind: str, part: Counts) -> str:
        leads = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(row)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal>"
            "<LeadAmplitudeUnitsPerBit>1</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadHighLimit>32767</LeadHighLimit>"
            f"<LeadLowLimit>-32768</LeadLowLimit><LeadID>{lead}</LeadID><LeadOffsetFirstSample>0</LeadOffsetFirstSample>"
            f"<FirstSampleBaseline>0</FirstSampleBaseline><LeadSampleSize>2</LeadSampleSize>"
            f"<WaveFormData>{base64.encodebytes(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>"
            for lead, row in zip(STANDARD_LEADS, part, strict=True)
            if lead in ("I", "II") or lead[0] == "V"
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>8</NumberofLeads>"
            f"<SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>{RATE}</SampleBase>"
            f"<SampleExponent>0</SampleExponent>{leads}</Waveform>"
        )

    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG><MuseInfo><MuseVersion>9.0.9.18167</MuseVersion></MuseInfo>
<PatientDemographics><PatientID>{NUMBER}</PatientID><PatientAge>88</PatientAge><AgeUnits>YEARS</AgeUnits>
<DateofBirth>07-13-1931</DateofBirth><Gender>FEMALE</Gender><PatientLastName>{NAME}</PatientLastName>
<PatientFirstName>{GIVEN}</PatientFirstName></PatientDemographics>
<TestDemographics><DataType>RESTING</DataType><SiteName>{PLACE}</SiteName><AcquisitionDevice>MAC55</AcquisitionDevice>
<AcquisitionTime>09:10:11</AcquisitionTime><AcquisitionDate>03-04-2020</AcquisitionDate><CartNumber>{SERIAL}</CartNumber>
<OverreaderLastName>{DOCTOR}</OverreaderLastName></TestDemographics>
<Order><OrderNumber>{ACCESSION}</OrderNumber></Order>
<Diagnosis><DiagnosisStatement><StmtText>{NOTE}</StmtText></DiagnosisStatement></Diagnosis>
{waveform("Median", counts[:, :600])}{waveform("Rhythm", counts)}</RestingECG>
""".encode("latin-1")


def atc(counts: Counts) -> bytes:
    """AliveCor ATC 1.7 with twelve leads, 1 µV steps, and median beats."""

    def block(name: bytes, data: bytes) -> bytes:
        whole = name + struct.pack("<L", len(data)) + data
        return whole + struct.pack("<L", zlib.crc32(whole))

    info = b"2020-03-04T09:10:11.000+00:00".ljust(32, b"\0") + NUMBER.encode().ljust(40, b"\0")
    info += SERIAL.encode().ljust(44, b"\0") + b"iPhone".ljust(32, b"\0") + b"AliveECG 1.6.7".ljust(32, b"\0")
    info += b"kardia_12l".ljust(32, b"\0") + f"SN={SERIAL},BAT=55".encode().ljust(52, b"\0")
    suffixes = (b" ", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"a", b"b", b"c")
    parts = [block(b"info", info), block(b"fmt ", struct.pack("<BHHB2x", 1, RATE, 1000, 0))]
    parts += [block(b"ecg" + s, row.astype("<i2").tobytes()) for s, row in zip(suffixes, counts, strict=True)]
    parts += [block(b"med" + s, row[:600].astype("<i2").tobytes()) for s, row in zip(suffixes, counts, strict=True)]
    return b"ALIVE\0\0\0" + struct.pack("<L", 5) + b"".join(parts)


def kardia_json(counts: Counts) -> bytes:
    """AliveCor Kardia JSON, current keys: six leads, numbers in nV per the amplitude resolution."""
    names = ("leadI", "leadII", "leadIII", "AVR", "AVL", "AVF")
    leads: dict[str, Any] = {name: row.tolist() for name, row in zip(names, counts[:6], strict=True)}
    return json.dumps(
        {
            "id": NUMBER,
            "patientID": NUMBER,
            "patientName": f"{GIVEN} {NAME}",
            "note": NOTE,
            "recordedAt": "2020-03-04T09:10:11Z",
            "duration": round(counts.shape[1] * 1000 / RATE),
            "data": {"raw": {"frequency": RATE, "mainsFrequency": 50, "amplitudeResolution": 1000,
                             "numLeads": 6, "samples": leads}},
        }
    ).encode()  # fmt: skip


WRITERS: Final[Mapping[str, Callable[[Counts], bytes]]] = {
    "scp": scp, "ishne": ishne, "mfer": mfer, "cardiosoft": cardiosoft, "schiller": schiller, "mortara": mortara,
    "muse": muse, "kardia-atc": atc, "kardia": kardia_json,
}  # fmt: skip
