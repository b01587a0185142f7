"""DICOM ECGs: the real one from pydicom against pydicom itself, and each trap as a variation of it."""

from __future__ import annotations

import copy
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.inspection import inspect_recording
from tests.unit.preprocessor.recordings import as_file


def changed(content: bytes, change: Callable[[Any], None], **how: object) -> bytes:
    """The file with its dataset changed by ``change``."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    change(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_the_real_file_is_read_as_pydicom_reads_it(dicom_file: bytes) -> None:
    recording = decode(as_file(dicom_file))
    reference = pydicom.dcmread(io.BytesIO(dicom_file)).waveform_array(0).T * 1e-3
    assert recording.leads == STANDARD_LEADS
    assert recording.sampling_rate == 1000.0
    assert recording.format == "dicom"
    assert recording.device.manufacturer == "Mortara Instrument, Inc."
    assert (recording.patient.age_years, recording.patient.sex) == (42, "female")
    np.testing.assert_allclose(recording.millivolts, reference, atol=1e-12)


def test_the_median_beat_is_never_taken_for_the_rhythm(dicom_file: bytes) -> None:
    def swap(dataset: Any) -> None:
        dataset.WaveformSequence = pydicom.Sequence(list(dataset.WaveformSequence)[::-1])

    assert decode(as_file(changed(dicom_file, swap))).samples == 10_000

    def only_median(dataset: Any) -> None:
        dataset.WaveformSequence = pydicom.Sequence([dataset.WaveformSequence[1]])

    with pytest.raises(InvalidRequest, match="no rhythm"):
        decode(as_file(changed(dicom_file, only_median)))


def test_the_median_beat_is_kept_apart(dicom_file: bytes) -> None:
    reference = pydicom.dcmread(io.BytesIO(dicom_file)).waveform_array(1).T * 1e-3

    def nameless(dataset: Any) -> None:
        del dataset.WaveformSequence[1].MultiplexGroupLabel

    for content in (dicom_file, changed(dicom_file, nameless)):
        recording = decode(as_file(content))
        assert recording.samples == 10_000
        assert recording.median_beat is not None
        assert (recording.median_beat.leads, recording.median_beat.sampling_rate) == (STANDARD_LEADS, 1000)
        np.testing.assert_allclose(recording.median_beat.millivolts, reference, atol=1e-12)


def split(dataset: Any, parts: list[list[int]]) -> None:
    """The rhythm as groups of some of its channels each."""
    rhythm = dataset.WaveformSequence[0]
    counts = np.frombuffer(rhythm.WaveformData, "<i2").reshape(-1, 12)
    groups = []
    for rows in parts:
        group = copy.deepcopy(rhythm)
        group.ChannelDefinitionSequence = pydicom.Sequence([group.ChannelDefinitionSequence[k] for k in rows])
        group.NumberOfWaveformChannels, group.WaveformData = len(rows), counts[:, rows].tobytes()
        groups.append(group)
    dataset.WaveformSequence = pydicom.Sequence([*groups, *list(dataset.WaveformSequence)[1:]])


@pytest.mark.parametrize("kind", ["1.2", "1.3"])
def test_leads_of_one_time_in_several_groups_are_one_recording(dicom_file: bytes, kind: str) -> None:
    def part(dataset: Any) -> None:
        dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.9.{kind}"
        split(dataset, [list(range(6, 12)), list(range(6))])

    recording = decode(as_file(changed(dicom_file, part)))
    assert recording.leads == STANDARD_LEADS
    assert recording.remarks == ()
    np.testing.assert_array_equal(recording.millivolts, decode(as_file(dicom_file)).millivolts)


def test_groups_of_other_times_or_the_same_leads_stay_apart(dicom_file: bytes) -> None:
    def later(dataset: Any) -> None:
        split(dataset, [list(range(12)), [1], list(range(6))])
        dataset.WaveformSequence[2].MultiplexGroupTimeOffset = 2500

    recording = decode(as_file(changed(dicom_file, later)))
    assert recording.leads == STANDARD_LEADS
    assert recording.remarks == ("OTHER_GROUPS_APART",)
    assert recording.ignored_leads == ("II", *STANDARD_LEADS[:6])


def test_skew_between_channels_is_remarked(dicom_file: bytes) -> None:
    def skew(dataset: Any) -> None:
        dataset.WaveformSequence[0].ChannelDefinitionSequence[4].ChannelSampleSkew = "3"

    assert decode(as_file(changed(dicom_file, skew))).remarks == ("CHANNEL_SKEW",)


@pytest.mark.parametrize("signed", [True, False])
def test_twelve_bits_in_sixteen(dicom_file: bytes, signed: bool) -> None:
    """Signed with the upper bits left at 0, as some writers do; unsigned about a baseline."""

    def pack(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2").clip(-2048, 2047)
        packed = counts & 0x0FFF if signed else counts + 2048
        group.WaveformData = packed.astype("<u2").tobytes()
        group.WaveformSampleInterpretation = "SS" if signed else "US"
        for channel in group.ChannelDefinitionSequence:
            channel.WaveformBitsStored = 12
            channel.ChannelBaseline = "0" if signed else str(-2048 * float(channel.ChannelSensitivity))

    reference = np.frombuffer(pydicom.dcmread(io.BytesIO(dicom_file)).WaveformSequence[0].WaveformData, "<i2")
    expected = reference.clip(-2048, 2047).reshape(-1, 12).T * 1.25e-3
    np.testing.assert_allclose(decode(as_file(changed(dicom_file, pack))).millivolts, expected, atol=1e-9)


def test_unsigned_eight_bit_samples(dicom_file: bytes) -> None:
    def narrow(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2") // 16
        group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 8, "UB"
        group.WaveformData = (counts.clip(-128, 127) + 128).astype("u1").tobytes()
        group["WaveformData"].VR = "OB"
        for channel in group.ChannelDefinitionSequence:
            channel.ChannelSensitivity, channel.ChannelBaseline = "20", "-2560"

    narrowed = decode(as_file(changed(dicom_file, narrow)))
    np.testing.assert_allclose(narrowed.millivolts, decode(as_file(dicom_file)).millivolts, atol=0.0201)


def test_a_calibration_pulse_at_the_end_is_not_signal(dicom_file: bytes) -> None:
    def calibrate(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
        counts[9900:], counts[9920:9980] = 0, 800
        group.WaveformData = counts.tobytes()

    recording = decode(as_file(changed(dicom_file, calibrate)))
    assert (recording.samples, recording.remarks) == (9900, ("FILLER_REMOVED",))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_encoding_gives_the_same_signal(dicom_file: bytes, syntax: Any) -> None:
    def recode(dataset: Any) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    recoded = changed(dicom_file, recode, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    np.testing.assert_array_equal(decode(as_file(recoded)).millivolts, decode(as_file(dicom_file)).millivolts)


@pytest.mark.parametrize("implicit", [True, False])
def test_a_dataset_without_the_header_is_read(dicom_file: bytes, implicit: bool) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_file))
    del dataset.file_meta
    dataset.preamble = None
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert buffer.getvalue()[:2] == b"\x08\0"
    np.testing.assert_array_equal(decode(as_file(buffer.getvalue())).millivolts, decode(as_file(dicom_file)).millivolts)


def test_big_endian_gives_the_same_signal(dicom_file: bytes) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_file))
    elements = list(dataset.iterall())  # parsed now, in the old byte order
    assert elements
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    for group in dataset.WaveformSequence:
        group.WaveformData = np.frombuffer(group.WaveformData, "<i2").astype(">i2").tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    swapped = decode(as_file(buffer.getvalue()))
    np.testing.assert_array_equal(swapped.millivolts, decode(as_file(dicom_file)).millivolts)


def test_sensitivity_correction_baseline_and_unit_make_millivolts(dicom_file: bytes) -> None:
    def rescale(dataset: Any) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            channel.ChannelSensitivity = "625"
            channel.ChannelSensitivityCorrectionFactor = "2"
            channel.ChannelBaseline = "500"
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = "nV"

    plain, scaled = decode(as_file(dicom_file)), decode(as_file(changed(dicom_file, rescale)))
    np.testing.assert_allclose(scaled.millivolts, plain.millivolts + 500e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("unit", "sensitivity"), [("uV", "1.25"), ("mV", "0.00125"), ("V", "0.00000125"), ("nV", "1250")]
)
def test_every_unit_of_voltage_gives_the_same_millivolts(dicom_file: bytes, unit: str, sensitivity: str) -> None:
    def rescale(dataset: Any) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            channel.ChannelSensitivity = sensitivity
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = unit

    rescaled = decode(as_file(changed(dicom_file, rescale)))
    np.testing.assert_allclose(rescaled.millivolts, decode(as_file(dicom_file)).millivolts, atol=1e-9)


@pytest.mark.parametrize("scheme", ["mdc", "mdc number", "meaning", "label"])
def test_leads_by_code_by_meaning_or_by_label(dicom_file: bytes, scheme: str) -> None:
    mdc = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))

    def rename(dataset: Any) -> None:
        for lead, channel in zip(STANDARD_LEADS, dataset.WaveformSequence[0].ChannelDefinitionSequence, strict=True):
            if scheme == "label":
                del channel.ChannelSourceSequence
                channel.ChannelLabel = lead
                continue
            source = channel.ChannelSourceSequence[0]
            code = {"mdc": f"2:{mdc[lead]}", "mdc number": f"{131072 + mdc[lead]}", "meaning": "X1"}[scheme]
            source.CodeValue = code
            source.CodingSchemeDesignator = "99LOCAL" if scheme == "meaning" else "MDC"
            source.CodeMeaning = f"Lead {lead}" if scheme == "meaning" else "anything"

    renamed = decode(as_file(changed(dicom_file, rename)))
    np.testing.assert_array_equal(renamed.millivolts, decode(as_file(dicom_file)).millivolts)


def test_a_padding_value_of_zero_does_not_swallow_true_zeros(dicom_file: bytes) -> None:
    def declare(dataset: Any) -> None:
        dataset.WaveformSequence[0].add_new(0x5400100A, "OW", b"\0\0")

    assert np.count_nonzero(decode(as_file(dicom_file)).millivolts == 0) > 0
    padded = decode(as_file(changed(dicom_file, declare)))
    np.testing.assert_array_equal(padded.millivolts, decode(as_file(dicom_file)).millivolts)


def test_padding_is_cut_from_the_ends_and_missing_inside(dicom_file: bytes) -> None:
    def pad(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
        counts[:100], counts[-50:], counts[5000, 3] = -32768, -32768, -32768
        group.WaveformData = counts.tobytes()
        group.add_new(0x5400100A, "OW", b"\0\x80")

    recording = decode(as_file(changed(dicom_file, pad)))
    assert recording.samples == 9850
    assert recording.remarks == ("PADDING_REMOVED",)
    assert np.argwhere(np.isnan(recording.millivolts)).tolist() == [[3, 4900]]


def test_eight_bit_samples(dicom_file: bytes) -> None:
    def narrow(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2") // 16
        group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 8, "SB"
        group.WaveformData = counts.clip(-128, 127).astype("i1").tobytes()
        group["WaveformData"].VR = "OB"
        for channel in group.ChannelDefinitionSequence:
            channel.ChannelSensitivity = "20"

    narrowed = decode(as_file(changed(dicom_file, narrow)))
    np.testing.assert_allclose(narrowed.millivolts, decode(as_file(dicom_file)).millivolts, atol=0.0201)


def test_eight_channels_become_twelve_leads(dicom_file: bytes) -> None:
    rows = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]

    def drop(dataset: Any) -> None:
        group = dataset.WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)[:, rows]
        group.ChannelDefinitionSequence = pydicom.Sequence([group.ChannelDefinitionSequence[k] for k in rows])
        group.NumberOfWaveformChannels, group.WaveformData = 8, counts.tobytes()

    recording = decode(as_file(changed(dicom_file, drop)))
    assert recording.derived_leads == ("III", "aVR", "aVL", "aVF")


def test_an_age_is_worked_out_and_a_birth_date_never_shown(dicom_file: bytes) -> None:
    def born(dataset: Any) -> None:
        dataset.PatientAge, dataset.PatientBirthDate = "", "19130126"
        dataset.PatientName = "Doe^Jane"

    recording = decode(as_file(changed(dicom_file, born)))
    assert recording.patient.age_years == 89  # 99 years and 364 days: in the group of the oldest
    assert "Doe" not in repr(recording)
    assert "1913" not in repr(recording)


def test_no_identifier_leaves_the_decoder(dicom_file: bytes) -> None:
    def plant(dataset: Any) -> None:
        dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Planted^Jane", "MRN0099887", "ACC5550001"
        dataset.PatientBirthDate, dataset.PatientAge = "19310713", "081Y"
        dataset.InstitutionName = dataset.ReferringPhysicianName = dataset.OperatorsName = "Planted"
        dataset.PatientComments = dataset.StudyDescription = dataset.PatientAddress = "Planted street 12"
        dataset.DeviceSerialNumber, dataset.StudyID = "SN7766554", "ACC5550001"
        group = dataset.WaveformSequence[0]
        group.ChannelDefinitionSequence[0].ChannelLabel = "Planted"
        dataset.WaveformAnnotationSequence = pydicom.Sequence([pydicom.Dataset()])
        dataset.WaveformAnnotationSequence[0].UnformattedTextValue = "Planted note"

    content = changed(dicom_file, plant)
    assert content.count(b"Planted") > 8
    found = inspect_recording(as_file(content))
    words = (repr(found) + repr(found.recording) + json.dumps(found.to_json())).lower()
    planted = ("planted", "mrn0099887", "acc5550001", "1931", "sn7766554")
    assert [word for word in planted if word in words] == []


REFUSALS: dict[str, tuple[Callable[[Any], None], str]] = {
    "another kind of object": (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"), "NOT_AN_ECG"),
    "no waveform": (lambda d: delattr(d, "WaveformSequence"), "TRUNCATED"),
    "no sensitivity": (
        lambda d: [delattr(c, "ChannelSensitivity") for c in d.WaveformSequence[0].ChannelDefinitionSequence],
        "UNKNOWN_UNIT",
    ),
    "no unit": (
        lambda d: [
            delattr(c, "ChannelSensitivityUnitsSequence") for c in d.WaveformSequence[0].ChannelDefinitionSequence
        ],
        "UNKNOWN_UNIT",
    ),
    "unit is not a voltage": (
        lambda d: setattr(
            d.WaveformSequence[0].ChannelDefinitionSequence[0].ChannelSensitivityUnitsSequence[0], "CodeValue", "mm[Hg]"
        ),
        "UNKNOWN_UNIT",
    ),
    "negative gain": (
        lambda d: setattr(d.WaveformSequence[0].ChannelDefinitionSequence[2], "ChannelSensitivity", "-1.25"),
        "BAD_SCALE",
    ),
    "a billion samples": (lambda d: setattr(d.WaveformSequence[0], "NumberOfWaveformSamples", 10**9), "TRUNCATED"),
    "mu-law samples": (
        lambda d: setattr(d.WaveformSequence[0], "WaveformSampleInterpretation", "MB"),
        "UNSUPPORTED_SAMPLES",
    ),
    "A-law samples": (
        lambda d: setattr(d.WaveformSequence[0], "WaveformSampleInterpretation", "AB"),
        "UNSUPPORTED_SAMPLES",
    ),
    "24 bits": (lambda d: setattr(d.WaveformSequence[0], "WaveformBitsAllocated", 24), "UNSUPPORTED_SAMPLES"),
    "a volt of a step": (
        lambda d: [setattr(c, "ChannelSensitivity", "1e8") for c in d.WaveformSequence[0].ChannelDefinitionSequence],
        "BAD_SCALE",
    ),
    "channels and definitions differ": (
        lambda d: setattr(d.WaveformSequence[0], "NumberOfWaveformChannels", 11),
        "MALFORMED",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(dicom_file: bytes, case: str) -> None:
    change, reason = REFUSALS[case]
    with pytest.raises(InvalidRequest) as caught:
        decode(as_file(changed(dicom_file, change)))
    assert [v.reason for v in caught.value.violations] == [reason]


@pytest.mark.parametrize("share", [0.0005, 0.001, 0.01, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_refused(dicom_file: bytes, share: float) -> None:
    with pytest.raises(InvalidRequest):
        decode(as_file(dicom_file[: int(len(dicom_file) * share)]))


@pytest.mark.parametrize("extra", [9, 40, 400, 4000])
def test_a_file_cut_inside_a_sequence_that_nobody_reads_is_refused(dicom_file: bytes, extra: int) -> None:
    start = dicom_file.index(b"\x40\x00\x20\xb0SQ\0\0\xff\xff\xff\xff")  # the annotations
    with pytest.raises(InvalidRequest, match="send it whole"):
        decode(as_file(dicom_file[: start + 12 + extra]))


@pytest.mark.parametrize("undefined", [True, False])
def test_what_nobody_reads_is_jumped_over_however_it_is_nested(dicom_file: bytes, undefined: bool) -> None:
    def bury(dataset: Any) -> None:
        inner, middle, outer = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        inner.add_new(0x54001010, "OW", b"\xfe\xff\xdd\xe0" * 9)  # delimiters inside a value
        middle.ReferencedSOPSequence = [inner, inner]
        outer.ReferencedSeriesSequence = [middle]
        dataset.ReferencedStudySequence = [outer, outer]
        for holder in (dataset, outer, middle):
            for element in (e for e in holder if e.keyword.startswith("Referenced")):
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined

    buried = decode(as_file(changed(dicom_file, bury)))
    np.testing.assert_array_equal(buried.millivolts, decode(as_file(dicom_file)).millivolts)


def test_an_inflation_bomb_is_refused() -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeeze.compress(bytes(80 * 1024 * 1024)) + squeeze.flush()
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    with pytest.raises(InvalidRequest, match="64 MiB"):
        decode(as_file(bytes(128) + b"DICM" + meta + bomb))
