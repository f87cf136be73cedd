import { z } from 'zod'
import { PRIORITIES } from './archive-package.ts'

/**
 * What an image is made of, as a person writes it (`definitions/debian-12.yaml` is an example that explains itself).
 *
 * Left out on purpose: partitions (the disk is one ext4 file system, which the guest grows) and initramfs (Debian's kernel has NVMe
 * and ext4 built in).
 */
const KIBIBYTE = 1024
const UNITS: Readonly<Record<string, number>> = { MiB: KIBIBYTE ** 2, GiB: KIBIBYTE ** 3, TiB: KIBIBYTE ** 4 }
const MAXIMUM_DISK = 16 * UNITS.TiB
const MINIMUM_DISK = 256 * UNITS.MiB

const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'is no name of a package: lower-case letters, digits, and + - .')
const hostname = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i, 'is no host name: letters, digits and hyphens, 63 at most')
const userName = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'is no user name: lower-case letters, digits, _ and -, 32 at most')
const oneLine = z.string().regex(/^[^\0\n\r]*$/, 'must be one line')
const absolutePath = oneLine.refine(path => path.startsWith('/') && path.length > 1 && !path.split('/').includes('..'), 'is no absolute path without ..')
const suite = z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, 'is no suite of an archive')
const mirror = z.string().regex(/^https?:\/\/[^\s?#]+$/, 'is no http:// or https:// URL')
/** A crypt(3) hash; a password in clear has no place in a file. */
const passwordHash = z.string().regex(/^\$[\w./$,=-]+$/, 'is no hash as crypt(3) gives it (make one with `openssl passwd -6`)')
const password = z.union([z.literal('locked'), passwordHash])
const octalMode = z.string().regex(/^0?[0-7]{3,4}$/, 'is no octal mode in quotes, such as "0644"')
const owner = z.string().regex(/^\d{1,9}:\d{1,9}$/, 'is no owner as numbers, such as "0:0"')
const timezone = z.string().regex(/^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/, 'is no time zone, such as Europe/Berlin')

const diskSize = z.string().transform((text, context) => {
  const [, number, unit] = /^(\d{1,6}) ?(MiB|GiB|TiB)$/.exec(text) ?? []
  const size = unit === undefined ? NaN : Number(number) * UNITS[unit]
  if (size >= MINIMUM_DISK && size <= MAXIMUM_DISK) return size
  context.addIssue({ code: 'custom', message: 'is no size from 256 MiB to 16 TiB, such as 8 GiB' })
  return z.NEVER
})

const source = z.strictObject({
  suite,
  mirrors: z.array(mirror).min(1),
  components: z.array(z.enum(['main', 'contrib', 'non-free', 'non-free-firmware'])).min(1).default(['main']),
})

const user = z.strictObject({
  name: userName,
  groups: z.array(userName).default([]),
  shell: absolutePath.default('/bin/bash'),
  password: password.default('locked'),
  sshKeys: z.array(oneLine).default([]),
})

const file = z.strictObject({
  path: absolutePath,
  content: z.string(),
  mode: octalMode.default('0644'),
  owner: owner.default('0:0'),
})

export const imageDefinitionSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*(:[a-z0-9][a-z0-9._-]*)?$/, 'is no image name, such as debian:12'),
  description: oneLine.default(''),
  architecture: z.literal('amd64').default('amd64'),
  sources: z.array(source).min(1),
  base: z.enum(PRIORITIES).default('required'),
  kernel: packageName,
  packages: z.array(packageName).default([]),
  disk: z.strictObject({ size: diskSize }),
  hostname,
  timezone: timezone.default('Etc/UTC'),
  rootPassword: password.default('locked'),
  consoleLogin: userName.optional(),
  users: z.array(user).default([]),
  files: z.array(file).default([]),
  firstBoot: z.array(oneLine).default([]),
})

export type ImageDefinition = z.infer<typeof imageDefinitionSchema>
export type ImageSource = ImageDefinition['sources'][number]
