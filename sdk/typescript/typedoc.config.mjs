// The reference of the API: `npm run docs` puts it into `build/docs`. What is not documented or not exported is an error.

import { OptionDefaults } from "typedoc";

/** @type {Partial<import("typedoc").TypeDocOptions>} */
export default {
  name: "Callboard for TypeScript",
  entryPoints: ["src/index.ts", "src/opentelemetry.ts", "src/v1.ts"],
  tsconfig: "tsconfig.build.json",
  out: "build/docs",
  readme: "README.md",
  excludeInternal: true,
  excludePrivate: true,
  // What generated code says of itself.
  blockTags: [...OptionDefaults.blockTags, "@generated"],
  excludeTags: [...OptionDefaults.excludeTags, "@generated"],
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ["Class", "Interface", "Function", "Method", "Accessor", "TypeAlias"],
};
