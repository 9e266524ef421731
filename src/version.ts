/** This package's version, as manifests record it. A test holds it to package.json. */
export const version = "0.1.0";
