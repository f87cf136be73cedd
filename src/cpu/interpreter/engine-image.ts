/**
 * The built engine as one WebAssembly file: the module, and in a custom section the tables that lead from an opcode row and a shape to
 * a handler number. The tables hold for the opcode table that they were built from; a digest of it is checked.
 */
import { TenonError } from '../../base/errors.ts'
import { rowOperands } from '../isa/operands.ts'
import { rows } from '../isa/rows.ts'
import { extraKind, shapeCount, shapeIndex } from './form.ts'
import type { Shape } from './form.ts'

export const FORMS_SECTION = 'tenon.forms'
/** Names of the helpers by number, separated by line feeds. */
export const HELPERS_SECTION = 'tenon.helpers'
/** A row and shape without a handler. */
export const NO_HANDLER = 0

/** Start of each row's part of the handler table, and the table's length. */
export function rowBases(): Uint32Array {
  const bases = new Uint32Array(rows.length + 1)
  rows.forEach((row, index) => { bases[index + 1] = bases[index] + shapeCount(extraKind(row, rowOperands(row))) })
  return bases
}

export interface FormTables {
  /** Handler number by `rowBase + shapeIndex`, NO_HANDLER where the combination cannot occur. */
  readonly handlers: Uint16Array
  /** Triples: handler of the first, handler of the second, handler of the pair. */
  readonly fused: Uint16Array
}

/** The section's content: digest, length of `fused`, `fused`, `handlers`; all little-endian 16- or 32-bit words. */
export function encodeTables(tables: FormTables): Uint8Array {
  const out = new Uint8Array(8 + tables.fused.length * 2 + tables.handlers.length * 2)
  const view = new DataView(out.buffer)
  view.setUint32(0, rowDigest(), true)
  view.setUint32(4, tables.fused.length, true)
  const words = [...tables.fused, ...tables.handlers]
  words.forEach((word, index) => view.setUint16(8 + index * 2, word, true))
  return out
}

/** @throws TenonError ENGINE_MISMATCH if the section was built from another opcode table. */
export function decodeTables(section: ArrayBuffer): FormTables {
  const view = new DataView(section)
  if (section.byteLength < 8 || view.getUint32(0, true) !== rowDigest()) {
    throw new TenonError('ENGINE_MISMATCH', 'the prebuilt engine does not belong to this version: build again')
  }
  const fusedLength = view.getUint32(4, true)
  const word = (index: number): number => view.getUint16(8 + index * 2, true)
  return {
    fused: Uint16Array.from({ length: fusedLength }, (_, index) => word(index)),
    handlers: Uint16Array.from({ length: (section.byteLength - 8) / 2 - fusedLength }, (_, index) => word(fusedLength + index)),
  }
}

/** FNV-1a over the rows' text. */
function rowDigest(): number {
  let digest = 0x811c9dc5
  for (const row of rows) {
    const text = `${row.opcode}|${row.mnemonic}|${row.operands.join()}|${JSON.stringify(row.attributes)};`
    for (let i = 0; i < text.length; i++) digest = Math.imul(digest ^ text.charCodeAt(i), 0x01000193)
  }
  return digest >>> 0
}

export function encodeHelpers(names: readonly string[]): Uint8Array {
  return Uint8Array.from(names.join('\n'), (character) => character.charCodeAt(0))
}

export function decodeHelpers(section: ArrayBuffer): string[] {
  return String.fromCharCode(...new Uint8Array(section)).split('\n')
}

/** Position of a shape in the handler table. */
export const handlerPosition = (bases: Uint32Array, row: number, shape: Shape): number => bases[row] + shapeIndex(shape)
