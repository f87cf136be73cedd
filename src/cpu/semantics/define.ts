import type { Ops } from './ops.ts'

/** How an instruction touches an operand: read, written, both; `a`: only its address is used, `-`: the semantics do not ask for it. */
export type Access = 'r' | 'w' | 'rw' | 'a' | '-'

export interface Definition {
  readonly mnemonic: string
  readonly access: readonly Access[]
  readonly emit: (o: Ops) => void
}

const definitions = new Map<string, Definition>()

/**
 * Defines the semantics of a mnemonic for all its rows. `access` has one letter group an operand, separated by commas: `rw,r`.
 * Access decides how memory is translated: `rw` and `w` fault as writes.
 */
export function define(mnemonic: string, access: string, emit: (o: Ops) => void): void {
  if (definitions.has(mnemonic)) throw new Error(`${mnemonic} is defined twice`)
  definitions.set(mnemonic, { mnemonic, access: access === '' ? [] : access.split(',') as Access[], emit })
}

export function definitionOf(mnemonic: string): Definition | undefined { return definitions.get(mnemonic) }
export function definedMnemonics(): string[] { return [...definitions.keys()] }
