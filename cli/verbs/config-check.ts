import { loadConfigFile, tellWarnings } from '../config-file.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';

export async function checkConfig({ terminal, configPath }: VerbContext): Promise<ExitCode> {
  const config = loadConfigFile(configPath, terminal);
  const { file, settings } = config;
  tellWarnings(config, terminal);
  const participants = Object.keys(settings.participants);
  terminal.stdout.write(`${file}: fine, participants: ${participants.join(', ')}\n`);
  return EXIT.fine;
}
