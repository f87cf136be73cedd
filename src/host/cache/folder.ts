import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Where Tenon keeps what it fetched and built: TENON_CACHE, else `tenon` in the platform's cache folder (XDG_CACHE_HOME or ~/.cache;
 * ~/Library/Caches; %LOCALAPPDATA%). Everything in it can be deleted at any time.
 */
export function cacheFolder(environment: Environment = process.env, platform: string = process.platform, home: string = homedir()): string {
  if (environment.TENON_CACHE) return resolve(environment.TENON_CACHE)
  if (platform === 'win32') return join(environment.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'tenon', 'cache')
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'tenon')
  // The XDG Base Directory Specification has relative paths ignored.
  const { XDG_CACHE_HOME: xdg = '' } = environment
  return join(xdg.startsWith('/') ? xdg : join(home, '.cache'), 'tenon')
}
