/**
 * A small encoder of ACPI Machine Language (ACPI 6.0 §20.2): each function gives the bytes of one term.
 *
 * Names are written as in ASL (`\_SB.PCI0`, `_HID`); segments shorter than four characters are padded. Not here, because our tables
 * need none of it: parent prefixes, fields over operation regions, loops.
 */
export type Aml = readonly number[]

const Op = {
  NAME: 0x08, BYTE: 0x0a, WORD: 0x0b, DWORD: 0x0c, STRING: 0x0d, QWORD: 0x0e, SCOPE: 0x10, BUFFER: 0x11, PACKAGE: 0x12,
  METHOD: 0x14, DUAL_NAME: 0x2e, MULTI_NAME: 0x2f, EXTENDED: 0x5b, ROOT: 0x5c, LOCAL0: 0x60, ARG0: 0x68, STORE: 0x70, AND: 0x7b,
  OR: 0x7d, CREATE_DWORD_FIELD: 0x8a, NOT: 0x92, EQUAL: 0x93, IF: 0xa0, ELSE: 0xa1, RETURN: 0xa4,
} as const
const EXTENDED_DEVICE = 0x82
const NULL_NAME = 0x00

/** Unsigned, up to 64 bits, in its shortest form. */
export function integer(value: number | bigint): Aml {
  const bits = BigInt.asUintN(64, BigInt(value))
  if (bits < 2n) return [Number(bits)]
  if (bits < 0x100n) return [Op.BYTE, ...littleEndian(bits, 1)]
  if (bits < 0x10000n) return [Op.WORD, ...littleEndian(bits, 2)]
  if (bits < 0x100000000n) return [Op.DWORD, ...littleEndian(bits, 4)]
  return [Op.QWORD, ...littleEndian(bits, 8)]
}

/** ASCII. */
export function string(text: string): Aml { return [Op.STRING, ...charCodes(text), 0] }

/** A compressed EISA identifier such as PNP0A03 (ACPI 6.0 §19.6.36): three letters of five bits, then four hexadecimal digits. */
export function eisaId(id: string): Aml {
  const letters = [0, 1, 2].map(index => id.charCodeAt(index) - 0x40)
  const vendor = letters[0] << 10 | letters[1] << 5 | letters[2]
  const product = parseInt(id.slice(3), 16)
  return [Op.DWORD, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff]
}

/** Declares a named object. */
export function name(path: string, value: Aml): Aml { return [Op.NAME, ...nameString(path), ...value] }

export function scope(path: string, ...terms: Aml[]): Aml { return [Op.SCOPE, ...sized(nameString(path), ...terms)] }

export function device(path: string, ...terms: Aml[]): Aml {
  return [Op.EXTENDED, EXTENDED_DEVICE, ...sized(nameString(path), ...terms)]
}

/** A serialised control method: it may declare names of its own. */
export function method(path: string, argumentCount: number, ...terms: Aml[]): Aml {
  const SERIALIZED = 0x08
  return [Op.METHOD, ...sized(nameString(path), [argumentCount | SERIALIZED], ...terms)]
}

/** Up to 255 elements. */
export function package_(...elements: Aml[]): Aml { return [Op.PACKAGE, ...sized([elements.length], ...elements)] }

export function buffer(bytes: Aml): Aml { return [Op.BUFFER, ...sized(integer(bytes.length), bytes)] }

/** A UUID as the 16-byte buffer that ASL's ToUUID makes (ACPI 6.0 §19.6.142): the first three fields little-endian. */
export function uuid(text: string): Aml {
  const bytes = text.replaceAll('-', '').match(/../g)!.map(byte => parseInt(byte, 16))
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  return buffer(order.map(index => bytes[index]))
}

export function local(index: number): Aml { return [Op.LOCAL0 + index] }
export function argument(index: number): Aml { return [Op.ARG0 + index] }
export function reference(path: string): Aml { return nameString(path) }
export function store(value: Aml, target: Aml): Aml { return [Op.STORE, ...value, ...target] }
export function and(left: Aml, right: Aml, target: Aml = [NULL_NAME]): Aml { return [Op.AND, ...left, ...right, ...target] }
export function or(left: Aml, right: Aml, target: Aml = [NULL_NAME]): Aml { return [Op.OR, ...left, ...right, ...target] }
export function equal(left: Aml, right: Aml): Aml { return [Op.EQUAL, ...left, ...right] }
export function notEqual(left: Aml, right: Aml): Aml { return [Op.NOT, ...equal(left, right)] }
export function if_(condition: Aml, ...terms: Aml[]): Aml { return [Op.IF, ...sized(condition, ...terms)] }
export function else_(...terms: Aml[]): Aml { return [Op.ELSE, ...sized(...terms)] }
export function return_(value: Aml): Aml { return [Op.RETURN, ...value] }

/** Names the 32 bits at a byte offset of a buffer. */
export function createDwordField(source: Aml, byteOffset: number, path: string): Aml {
  return [Op.CREATE_DWORD_FIELD, ...source, ...integer(byteOffset), ...nameString(path)]
}

/** NameString (ACPI 6.0 §20.2.2). */
function nameString(path: string): Aml {
  const rooted = path.startsWith('\\')
  const segments = path.slice(rooted ? 1 : 0).split('.').filter(segment => segment !== '')
  const prefix = rooted ? [Op.ROOT] : []
  const encoded = segments.flatMap(segment => charCodes(segment.padEnd(4, '_')))
  if (segments.length === 0) return [...prefix, NULL_NAME]
  if (segments.length === 1) return [...prefix, ...encoded]
  if (segments.length === 2) return [...prefix, Op.DUAL_NAME, ...encoded]
  return [...prefix, Op.MULTI_NAME, segments.length, ...encoded]
}

/** The parts behind a PkgLength (ACPI 6.0 §20.2.4), which counts itself. */
function sized(...parts: Aml[]): Aml {
  const body = parts.flat()
  if (body.length + 1 < 0x40) return [body.length + 1, ...body]
  const extraBytes = body.length + 2 < 0x1000 ? 1 : body.length + 3 < 0x100000 ? 2 : 3
  const total = body.length + 1 + extraBytes
  const lead = extraBytes << 6 | total & 0x0f
  return [lead, ...littleEndian(BigInt(total >> 4), extraBytes), ...body]
}

function littleEndian(value: bigint, size: number): number[] {
  return Array.from({ length: size }, (_, index) => Number(value >> BigInt(8 * index) & 0xffn))
}

function charCodes(text: string): number[] { return Array.from(text, character => character.charCodeAt(0)) }
