import { hostError } from '../../errors.ts'

/**
 * A Debian archive's signed index (`InRelease`; Debian wiki, DebianRepository/Format): who it is, and the SHA-256 of each index.
 * Nothing of the file is used but the text that a trusted key has signed.
 */
export interface Release {
  readonly codename: string
  /** By path relative to the suite's folder: the listed size and SHA-256 (hexadecimal). */
  readonly files: ReadonlyMap<string, FileDigest>
  /** Whether files are also found under `by-hash/SHA256/`, where they do not change while a mirror is updated. */
  readonly acquireByHash: boolean
}

export interface FileDigest {
  readonly size: number
  readonly sha256: string
}

/** Hosts' clocks differ; a release signed further ahead than this is from the future. */
const CLOCK_TOLERANCE_MS = 24 * 60 * 60 * 1000

/**
 * Verifies `inRelease` against `trustedKeys` (ASCII-armored) at the time `now`, and reads it.
 *
 * One good signature is enough, by a key that is neither expired nor revoked now. Throws TenonError SIGNATURE_INVALID,
 * SIGNATURE_EXPIRED (its Valid-Until has passed, or it is from the future) or ARCHIVE_FORMAT_INVALID.
 */
export async function readRelease(
  inRelease: string, wantedCodename: string, trustedKeys: readonly string[], now: Date = new Date(),
): Promise<Release> {
  const fields = parseFields(await verifiedText(inRelease, trustedKeys, now))
  checkTimes(fields, now)
  const codename = fields.get('Codename') ?? ''
  if (codename !== wantedCodename) {
    throw hostError('ARCHIVE_FORMAT_INVALID', `the mirror gives the release ${JSON.stringify(codename)} for ${wantedCodename}: use another mirror`)
  }
  return { codename, files: parseDigests(fields.get('SHA256') ?? ''), acquireByHash: fields.get('Acquire-By-Hash') === 'yes' }
}

async function verifiedText(inRelease: string, trustedKeys: readonly string[], now: Date): Promise<string> {
  const openpgp = await import('openpgp')
  try {
    const message = await openpgp.readCleartextMessage({ cleartextMessage: inRelease })
    const keys = (await Promise.all(trustedKeys.map(armoredKeys => openpgp.readKeys({ armoredKeys })))).flat()
    const expiries = await Promise.all(keys.map(key => key.getExpirationTime()))
    const verificationKeys = keys.filter((_, index) => expiries[index] !== null && Number(expiries[index]) > now.getTime())
    // No date here: a signature from the future has a better explanation in checkTimes.
    const { data, signatures } = await openpgp.verify({ message, verificationKeys, date: null as unknown as Date })
    await Promise.any(signatures.map(({ verified }) => verified))
    return data
  } catch (cause) {
    throw hostError('SIGNATURE_INVALID', 'the archive\'s InRelease has no valid signature by a current key of Debian: the mirror or the way '
      + 'to it changes what it sends (a captive portal, a proxy), so use another mirror; or Debian\'s keys have changed, then update Tenon', cause)
  }
}

function checkTimes(fields: ReadonlyMap<string, string>, now: Date): void {
  const date = Date.parse(fields.get('Date') ?? '')
  if (Number.isNaN(date)) throw hostError('ARCHIVE_FORMAT_INVALID', 'the archive\'s InRelease has no date: use another mirror')
  if (date > now.getTime() + CLOCK_TOLERANCE_MS) {
    throw hostError('SIGNATURE_EXPIRED', `the archive's InRelease is of ${fields.get('Date')}, and here it is ${now.toUTCString()}: set this host's clock`)
  }
  const validUntil = fields.get('Valid-Until')
  if (validUntil !== undefined && !(Date.parse(validUntil) >= now.getTime())) {
    throw hostError('SIGNATURE_EXPIRED', `the archive's InRelease was valid until ${validUntil}: the mirror is out of date, use another`)
  }
}

/** Fields of a control file's first stanza (Debian Policy §5.1); a field's further lines are kept with their newlines. */
export function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  let current = ''
  for (const line of text.split('\n')) {
    if (line.trim() === '') {
      if (fields.size > 0) break
    } else if (/^[ \t]/.test(line)) {
      fields.set(current, `${fields.get(current) ?? ''}\n${line.trim()}`)
    } else {
      const colon = line.indexOf(':')
      current = line.slice(0, colon)
      fields.set(current, line.slice(colon + 1).trim())
    }
  }
  return fields
}

function parseDigests(field: string): Map<string, FileDigest> {
  const files = new Map<string, FileDigest>()
  for (const line of field.split('\n')) {
    const [, sha256, size, path] = /^([0-9a-f]{64})\s+(\d{1,12})\s+(\S+)$/.exec(line) ?? []
    if (sha256 !== undefined) files.set(path, { size: Number(size), sha256 })
  }
  return files
}
