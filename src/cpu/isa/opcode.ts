/** The opcode column of rows, parsed: which bytes it matches (see row.ts for the notation). */
import { unreachable } from '../../base/errors.ts'
import type { Row } from './row.ts'

/** `any` accepts 66, F3 and F2; `NP` none of them; `NFx` only 66. */
export type MandatoryPrefix = 'any' | 'NP' | 'NFx' | '66' | 'F3' | 'F2'

/** 0 one-byte, 1 0F, 2 0F 38, 3 0F 3A. */
export type OpcodeMap = 0 | 1 | 2 | 3

export interface OpcodePattern {
  readonly prefix: MandatoryPrefix
  readonly map: OpcodeMap
  /** The first opcode byte, and how many follow it: 1, 8 (`+r`) or 16 (`+cc`). */
  readonly opcode: number
  readonly span: 1 | 8 | 16
  /** Values of ModRM.reg, all eight if empty. */
  readonly reg: readonly number[]
  readonly form: 'any' | 'mem' | 'reg'
  readonly rm?: number
  /** Needs REX.W set, or REX.B clear. */
  readonly rex?: 'w1' | 'b0'
  /** A VEX prefix with these values of L and W (`undefined`: both). */
  readonly vex?: { readonly length: 128 | 256 | undefined; readonly w: 0 | 1 | undefined }
}

const PREFIXES: readonly string[] = ['NP', 'NFx', '66', 'F3', 'F2']
const MAPS: readonly string[] = ['', '0F', '0F 38', '0F 3A']

const VEX_MAPS: readonly string[] = ['', '0F', '0F38', '0F3A']

/** The pattern of a row's `opcode`. */
export function parseOpcode(row: Row): OpcodePattern {
  const tokens = row.opcode.split(' ')
  if (tokens[0].startsWith('VEX.')) return parseVex(row, tokens)
  const prefix = tokens.length > 1 && PREFIXES.includes(tokens[0]) && isByte(tokens[1]) ? tokens.shift() : 'any'
  const bytes: string[] = []
  while (tokens.length > 0 && isByte(tokens[0])) bytes.push(tokens.shift()!)
  const last = /^([0-9A-F]{2})(\+r|\+cc)?$/.exec(bytes.pop() ?? '')
  const map = MAPS.indexOf(bytes.join(' '))
  if (last === null || map < 0) return unreachable(`opcode ${row.opcode} in the opcode table`)
  return {
    prefix: prefix as MandatoryPrefix,
    map: map as OpcodeMap,
    opcode: parseInt(last[1], 16),
    span: last[2] === '+r' ? 8 : last[2] === '+cc' ? 16 : 1,
    ...parseConstraints(row, tokens),
  }
}

function parseVex(row: Row, [vex, opcode, ...constraints]: readonly string[]): OpcodePattern {
  const [, length, prefix, map, w] = vex.split('.')
  const mapNumber = VEX_MAPS.indexOf(map)
  const known = ['128', '256', 'LIG'].includes(length) && ['NP', '66', 'F3', 'F2'].includes(prefix) && ['W0', 'W1', 'WIG'].includes(w)
  if (!known || mapNumber < 1 || !/^[0-9A-F]{2}$/.test(opcode)) return unreachable(`opcode ${row.opcode} in the opcode table`)
  return {
    prefix: prefix as MandatoryPrefix, map: mapNumber as OpcodeMap, opcode: parseInt(opcode, 16), span: 1,
    vex: { length: length === 'LIG' ? undefined : length === '256' ? 256 : 128, w: w === 'WIG' ? undefined : w === 'W1' ? 1 : 0 },
    ...parseConstraints(row, constraints),
  }
}

function isByte(token: string): boolean {
  return /^[0-9A-F]{2}(\+r|\+cc)?$/.test(token)
}

function parseConstraints(row: Row, tokens: readonly string[]): Pick<OpcodePattern, 'reg' | 'form' | 'rm' | 'rex'> {
  const reg: number[] = []
  let form: OpcodePattern['form'] = 'any'
  let rm: number | undefined
  let rex: OpcodePattern['rex']
  for (const token of tokens) {
    if (/^\/[0-7]$/.test(token)) reg.push(Number(token[1]))
    else if (token === 'mem' || token === 'reg') form = token
    else if (/^rm=[0-7]$/.test(token)) rm = Number(token[3])
    else if (token === 'w1' || token === 'b0') rex = token
    else unreachable(`constraint ${token} in the opcode table's ${row.opcode}`)
  }
  return { reg, form, rm, rex }
}
