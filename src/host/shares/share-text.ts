/**
 * A share as people write it: `FOLDER:PLACE[,readonly][,uid=N][,gid=N]`, the host's folder and its place in the guest. The folder may hold
 * colons (`C:\src:/mnt/src`), the place not.
 */
import { resolve } from 'node:path'
import { hostError } from '../errors.ts'
import { checkMountPoint, type GuestShare } from './guest-share.ts'

const SHAPE = /^(?<path>[^]+):(?<mountPoint>\/[^:,]*)(?<options>(,[^,]*)*)$/
const ID = /^(uid|gid)=(\d{1,10})$/
const LARGEST_ID = 2 ** 32 - 2

/** Relative folders are those of `folder`. @throws TenonError SHARE_UNFIT. */
export function parseShare(text: string, folder: string): GuestShare {
  const { path, mountPoint, options } = SHAPE.exec(text)?.groups ?? {}
  if (path === undefined) throw unfit(text, 'write FOLDER:/PLACE/IN/GUEST, such as ./src:/mnt/src')
  checkMountPoint(mountPoint)
  const share = { path: resolve(folder, path), mountPoint }
  return options.split(',').slice(1).reduce((sum, option) => ({ ...sum, ...parseOption(text, option) }), share)
}

function parseOption(text: string, option: string): Partial<GuestShare> {
  if (option === 'readonly') return { readOnly: true }
  const [, name, digits] = ID.exec(option) ?? []
  const isKnown = name !== undefined && Number(digits) <= LARGEST_ID
  if (!isKnown) throw unfit(text, `${JSON.stringify(option)} is no option: there are readonly, uid=N and gid=N`)
  return name === 'uid' ? { user: Number(digits) } : { group: Number(digits) }
}

export function formatShare({ path, mountPoint, readOnly, user, group }: GuestShare): string {
  const ids = [...user === undefined ? [] : [`uid=${user}`], ...group === undefined ? [] : [`gid=${group}`]]
  return [`${path}:${mountPoint}`, ...readOnly ? ['readonly'] : [], ...ids].join(',')
}

function unfit(text: string, why: string): Error { return hostError('SHARE_UNFIT', `${JSON.stringify(text)} is no share: ${why}`) }
