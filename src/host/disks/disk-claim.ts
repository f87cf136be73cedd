/**
 * What a claim on a disk (disk-lock.ts) says: JSON, written once, read by whoever wants the disk.
 *
 *     { mode, process, started, boot, processes, host, guest?, suspended? }
 *
 * A process's claim is dead when the process is. One of a suspended guest is dead when the file `suspended`, the guest's saved state, is
 * gone: its memory goes on with the disk as it is, so that nobody may write the disk meanwhile.
 */
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { isDead, ownIdentity } from '../processes.ts'
import type { ProcessIdentity } from '../processes.ts'

export type LockMode = 'shared' | 'exclusive'

/** The named guest that a claim is made for. */
export interface ClaimOwner {
  readonly guest?: string
  /** Its saved state, if it is suspended. */
  readonly suspended?: string
}

export interface Claim extends ProcessIdentity, ClaimOwner {
  readonly mode: LockMode
}

/** As guests are named (guests/home.ts): claims are files that others may have written. */
const GUEST = /^[a-z0-9][a-z0-9-]{0,62}$/

export function claimText(mode: LockMode, { guest, suspended }: ClaimOwner): string {
  return JSON.stringify({ mode, ...ownIdentity(), guest, suspended } satisfies Claim)
}

/** Null for what is no claim. */
export function parseClaim(text: string): Claim | null {
  try {
    const claim = JSON.parse(text) as Claim
    if (!Number.isInteger(claim.process) || typeof claim.host !== 'string') return null
    const { guest, suspended } = claim
    const isName = typeof guest === 'string' && GUEST.test(guest)
    return { ...claim, guest: isName ? guest : undefined, suspended: typeof suspended === 'string' ? suspended : undefined }
  } catch {
    return null
  }
}

export function isDeadClaim(claim: Claim): boolean {
  if (claim.suspended === undefined) return isDead(claim)
  return claim.host === hostname() && !existsSync(claim.suspended)
}

/** Why a disk is not to be had, and what to do. `file`: the claim. */
export function describeClaim(path: string, claim: Claim | null, file: string): string {
  if (claim?.suspended !== undefined) return describeSuspended(path, claim.guest ?? 'NAME', file)
  const number = claim === null ? 'another process' : `process ${claim.process}${claim.host === hostname() ? '' : ` on ${claim.host}`}`
  const how = claim?.mode === 'shared' ? 'reads it' : 'has it open for writing'
  const remedy = `(if there is no such process, delete ${file})`
  if (claim?.guest === undefined) return `${path} is in use: ${number} ${how}; close it there first ${remedy}`
  const { guest } = claim
  return `${path} is in use: the guest ${guest} (${number}) ${how}; stop it first, with tenon stop ${guest}, or name the disk `
    + `guest:${guest} to take a snapshot while it runs ${remedy}`
}

function describeSuspended(path: string, guest: string, file: string): string {
  return `${path} is kept as it is for the guest ${guest}, which is suspended: start ${guest} and stop it first, or have it forget what it `
    + `has in memory, with --force where that is offered or tenon start --fresh ${guest} (if there is no such guest any more, delete `
    + `${file})`
}
