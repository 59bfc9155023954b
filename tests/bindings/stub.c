/* Stand-ins for the four libraries that TensorRT's Python bindings link against, so that the real
 * bindings can be imported where no TensorRT is. Compiled four times, with one of INFER, PLUGIN,
 * PARSER and OLD_PARSERS. Every function gives null: names and signatures can be looked at, nothing
 * can be built or run. */

#ifdef INFER
void *createInferBuilder_INTERNAL(void *logger, int version) { return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) { return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
void *getBuilderPluginRegistry(int capability) { return 0; }
void *getPluginRegistry(void) { return 0; }
#endif

#ifdef PLUGIN
int initLibNvInferPlugins(void *logger, const char *space) { return 0; }
#endif

#ifdef PARSER
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
#endif

#ifdef OLD_PARSERS /* TensorRT 8: C++ functions under their mangled names */
void *_ZN11nvuffparser15createUffParserEv(void) { return 0; }
void _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi(void) {}
void *_ZN14nvcaffeparser117createCaffeParserEv(void) { return 0; }
void _ZN14nvcaffeparser123shutdownProtobufLibraryEv(void) {}
void _ZN11nvuffparser23shutdownProtobufLibraryEv(void) {}
#endif
