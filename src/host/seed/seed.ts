/**
 * What a guest is told at its first start, by cloud-init's data source NoCloud
 * (https://cloudinit.readthedocs.io/en/22.4.2/topics/datasources/nocloud.html): its name, who may log in, and what else the user wishes.
 *
 * SSH keys go into the meta data, as clouds hand them over, so that user data of any kind stays as it was written.
 */
import { createHash } from 'node:crypto'
import type { Seed } from '../../storage/iso9660/seed.ts'
import { hostError } from '../errors.ts'

/** What users ask for. */
export interface SeedWishes {
  readonly hostname?: string
  /** Lines as in `id_ed25519.pub`, for the image's default user. */
  readonly sshKeys?: readonly string[]
  /** As `checkUserData` wants it. */
  readonly userData?: string
}

const KEY = /^(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}(?: .*)?$/
const LARGEST = 1 << 20

/** How user data begins (cloud-init 22.4, "User-Data Formats"), and what that is. */
const KINDS: readonly [RegExp, string][] = [
  [/^#cloud-config\b/, 'cloud-config'], [/^#!/, 'a script'], [/^#include(-once)?\b/, 'a list of addresses'], [/^#cloud-boothook\b/, 'a boot hook'],
  [/^#part-handler\b/, 'a part handler'], [/^#cloud-config-archive\b/, 'an archive'], [/^## template: ?jinja\b/, 'a template'],
  [/^(content-type|mime-version):/i, 'several parts'],
]

/** Whether a text is a public key, as a line of `authorized_keys` without options. */
export function isPublicKey(text: string): boolean { return KEY.test(text) }

/** Whether a guest has to be told anything. */
export function needsSeed({ hostname, sshKeys = [], userData }: SeedWishes): boolean {
  return hostname !== undefined || sshKeys.length > 0 || userData !== undefined
}

/**
 * The seed for a guest. `guest` tells it from others of the same wishes: other wishes, or another guest, are another instance to cloud-init,
 * which then configures it anew.
 */
export function seedFor({ hostname, sshKeys = [], userData = '#cloud-config\n' }: SeedWishes, guest: string): Seed {
  const digest = createHash('sha256').update(JSON.stringify([guest, hostname, sshKeys, userData])).digest('hex').slice(0, 16)
  const fields = {
    'instance-id': `tenon-${digest}`,
    ...hostname === undefined ? {} : { 'local-hostname': hostname },
    ...sshKeys.length === 0 ? {} : { 'public-keys': sshKeys },
  }
  // JSON is YAML.
  return { metaData: `${JSON.stringify(fields, null, 2)}\n`, userData }
}

/** The public keys in a file's text. Throws TenonError SEED_INVALID. */
export function parseKeys(text: string, file: string): string[] {
  const lines = text.split(/\r?\n/).map(line => line.trim()).filter(line => line !== '' && !line.startsWith('#'))
  if (/^-----BEGIN .*PRIVATE KEY-----/.test(lines[0] ?? '')) throw invalid(`${file} is a private key, which stays with you: give the public one, ${file}.pub`)
  const wrong = lines.findIndex(line => !isPublicKey(line))
  if (lines.length === 0 || wrong >= 0) throw invalid(`${file} has ${lines.length === 0 ? 'no keys' : `a line that is no public SSH key: ${JSON.stringify(lines[wrong].slice(0, 40))}`}`)
  return lines
}

/** Gives user data back if cloud-init can use it. Throws TenonError SEED_INVALID: cloud-init would pass over it with a line in its log. */
export async function checkUserData(bytes: Uint8Array, file: string): Promise<string> {
  if (bytes.length > LARGEST) throw invalid(`${file} has ${bytes.length} bytes: user data has ${LARGEST} at most`)
  const text = decode(bytes, file)
  const kind = KINDS.find(([pattern]) => pattern.test(text))?.[1]
  if (kind === undefined) throw invalid(`${file} is no user data: it begins with #cloud-config, #!/bin/sh, or another first line that cloud-init knows`)
  if (kind === 'cloud-config') await checkYaml(text, file)
  return text
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw invalid(`${file} is no text in UTF-8`, error)
  }
}

async function checkYaml(text: string, file: string): Promise<void> {
  const { LineCounter, parseDocument } = await import('yaml')
  const lineCounter = new LineCounter()
  const [error] = parseDocument(text, { lineCounter, prettyErrors: false }).errors
  if (error !== undefined) throw invalid(`${file}:${lineCounter.linePos(error.pos[0]).line}: ${error.message}`)
}

function invalid(message: string, cause?: unknown): Error { return hostError('SEED_INVALID', message, cause) }
